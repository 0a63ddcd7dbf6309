"""The levels of use that a quota crosses. Pure."""

from __future__ import annotations

#: The percentages of the limit at which the watchdog logs a line.
LEVELS = (80, 95, 100)


def level(used: int, limit: int) -> int:
    """Return the highest of LEVELS that `used` of `limit` slots reach; 0 below all of them."""
    share = 100 * used / limit
    return max((step for step in LEVELS if share >= step), default=0)


def crossed(before: int, now: int) -> bool:
    """Return whether a change of level is worth a log line.

    A rise always is. A fall is worth a line only when the quota is below all levels again: a busy
    quota swings around a level with every call that cools, and a line for each swing would say
    nothing.
    """
    return now > before or (now == 0 < before)
