"""Which levels of use a quota has crossed. Pure."""

from __future__ import annotations

#: Percent of the limit at which the watchdog says something.
LEVELS = (80, 95, 100)


def level(used: int, limit: int) -> int:
    """The highest of LEVELS that `used` of `limit` slots reach; 0 below all of them."""
    share = 100 * used / limit
    return max((step for step in LEVELS if share >= step), default=0)


def crossed(before: int, now: int) -> bool:
    """Whether a change of level is worth a line: every rise is; falling, only when the quota is back under all of them.

    A busy quota swings around a level with every call that cools, and saying so each time would tell nothing.
    """
    return now > before or (now == 0 < before)
