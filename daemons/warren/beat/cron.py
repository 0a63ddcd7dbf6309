"""The ticks of a cron line in a time zone. Pure: every caller finds the same ticks at any time.

Around a change of clocks the library finds other ticks when its search begins at another time. The
functions of this file do not.
"""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim


def last_of(cron: str, now: float, zone: ZoneInfo) -> float:
    """Return the newest tick that is not after `now` (seconds since the epoch)."""
    # The search begins one second after `now`, because it excludes its own beginning. So it finds a
    # tick at `now` itself.
    after = datetime.fromtimestamp(math.floor(now) + 1, zone)
    last = next(CronSim(cron, after, reverse=True)).timestamp()
    # In the hour that a day has twice, the search backward passes over ticks. So the search forward
    # from its result decides.
    while (following := next_of(cron, last, zone)) <= now:
        last = following
    return last


def next_of(cron: str, now: float, zone: ZoneInfo) -> float:
    """Return the first tick after `now` (seconds since the epoch)."""
    found = _search(cron, now, zone)
    change = _change_of_clocks(max(now - 3600.0, found - 86400.0), found, zone)
    if change is None:
        return found
    # The search steps by whole hours. Where clocks change by half an hour, also shortly before
    # `now`, the search passes over a tick, unless it begins at a full hour of the new time.
    hour = change + 60 * (-datetime.fromtimestamp(change, zone).minute % 60)
    return min(found, _search(cron, max(now, hour - 1), zone))


def _search(cron: str, now: float, zone: ZoneInfo) -> float:
    ticks = CronSim(cron, datetime.fromtimestamp(math.floor(now), zone))
    # From the second of two equal hours, the search also finds ticks of the first hour.
    return next(tick for tick in (each.timestamp() for each in ticks) if tick > now)


def _change_of_clocks(begin: float, end: float, zone: ZoneInfo) -> float | None:
    """Return the first second of the zone's new time (seconds since the epoch).

    Returns None when the clocks do not change between `begin` and `end`. They change at most once
    in between.
    """
    before, after = math.floor(begin), math.ceil(end)
    old = _offset(before, zone)
    if _offset(after, zone) == old:
        return None
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(middle, zone) == old else (before, middle)
    return float(after)


def _offset(at: float, zone: ZoneInfo) -> object:
    return datetime.fromtimestamp(at, zone).utcoffset()
