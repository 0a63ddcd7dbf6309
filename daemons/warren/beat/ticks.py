"""When schedule entries tick. Pure: the same entry and time give the same ticks on every host, so that leaders agree unasked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from cronsim import CronSim

from warren.config import ScheduleSettings

#: Names of tasks are derived in this space.
_NAMESPACE = UUID("7b0c3ed2-4a86-5d0e-9d57-0f6c1d1c9a11")
#: A tick sent this late (seconds) was missed: no beat was running when it came due.
GRACE = 10.0
#: A tick remembered from further ahead of now (seconds) was sent by a clock that was wrong, and is not waited for.
AHEAD = 600.0


@dataclass(frozen=True)
class Due:
    """A tick to be sent, or left out by the entry's misfire: `tick` in seconds since the epoch, `late` seconds after it."""

    tick: float
    late: float
    send: bool

    @property
    def missed(self) -> bool:
        """Whether it came due while no beat was running."""
        return self.late > GRACE


def last_tick(entry: ScheduleSettings, now: float, zone: ZoneInfo) -> float:
    """The newest tick that is not after `now` (seconds since the epoch).

    `every` ticks at the multiples of its length since the epoch, `cron` in the time zone of the app.
    """
    if entry.every is not None:
        return math.floor(now / entry.every) * entry.every
    # The search begins after `now` and excludes its own beginning, so that a tick at `now` itself is found.
    after = datetime.fromtimestamp(math.floor(now) + 1, zone)
    last = next(CronSim(entry.cron or "", after, reverse=True)).timestamp()
    # In the hour that a day has twice, the search backward passes over ticks. Those forward are the ones that count.
    while (following := next_tick(entry, last, zone)) <= now:
        last = following
    return last


def next_tick(entry: ScheduleSettings, now: float, zone: ZoneInfo) -> float:
    """The first tick after `now` (seconds since the epoch)."""
    if entry.every is not None:
        return (math.floor(now / entry.every) + 1) * entry.every
    found = _search(entry.cron or "", now, zone)
    change = _change_of_clocks(max(now - 3600.0, found - 86400.0), found, zone)
    if change is None:
        return found
    # The search steps by whole hours: where clocks are changed by half of one, also just before `now`, it passes over a tick,
    # unless it begins at an hour of the new time.
    hour = change + 60 * (-datetime.fromtimestamp(change, zone).minute % 60)
    return min(found, _search(entry.cron or "", max(now, hour - 1), zone))


def due(entry: ScheduleSettings, sent: float, now: float, zone: ZoneInfo) -> Due | None:
    """What to do at `now` when `sent` was the last tick taken care of; None before the next one.

    Of several ticks that came due meanwhile only the newest counts: a schedule says when, not how many.
    """
    tick = last_tick(entry, now, zone)
    if tick <= sent:
        return None  # also when the wall clock stepped back: a tick that was sent is not sent again
    late = now - tick
    return Due(tick, late, send=late <= GRACE or entry.misfire == "run")


def trusted(entry: ScheduleSettings, sent: float, now: float, zone: ZoneInfo) -> float:
    """The last tick taken care of, or the newest tick there was where `sent` lies more than AHEAD in the future.

    A clock that was set wrongly, to a later time, would else silence the entry until then.
    """
    return last_tick(entry, now, zone) if sent > now + AHEAD else sent


def task_id(app: str, entry: str, tick: float) -> str:
    """The id of the task of this tick: sent twice, around a crash or a hand-over, it is the same task."""
    return str(uuid5(_NAMESPACE, f"{app}/{entry}/{tick:.6f}"))


def pause(ticks: list[float], now: float, longest: float) -> float:
    """Seconds until the next tick, `longest` at most so that the heart beats and a stepped clock is noticed."""
    return max(0.0, min([longest, *(tick - now for tick in ticks)]))


def _search(cron: str, now: float, zone: ZoneInfo) -> float:
    ticks = CronSim(cron, datetime.fromtimestamp(math.floor(now), zone))
    # Begun in the second of two equal hours, the search finds the first one's ticks.
    return next(tick for tick in (each.timestamp() for each in ticks) if tick > now)


def _change_of_clocks(begin: float, end: float, zone: ZoneInfo) -> float | None:
    """The first second of the zone's new time, where it changes between the two; at most one change lies there."""
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
