"""The times at which schedule entries tick.

Pure: the same entry and time give the same ticks on every host, so that leaders agree without
asking each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from warren.beat.cron import last_of, next_of
from warren.config import ScheduleSettings

#: The namespace of the ids of tasks.
_NAMESPACE = UUID("7b0c3ed2-4a86-5d0e-9d57-0f6c1d1c9a11")
#: Seconds. A tick that is later than this was missed: no beat led when the tick came due.
GRACE = 10.0
#: Seconds. A remembered tick that is further ahead of now was sent by a wrong clock, and beat does
#: not wait until then.
AHEAD = 600.0
#: Seconds. When the entry's very next tick was sent at most this early, beat waits for its time:
#: the clock was wrong by some hours.
EARLY = 86400.0
#: The most ticks of a cron line that are counted in one gap. A line that ticks each minute has as
#: many in a week.
COUNTED = 10_000


@dataclass(frozen=True)
class Gap:
    """Ticks that were missed because no beat led when they came due.

    ticks: their number. newest: the newest of these ticks. made_up: whether the newest tick is sent
    now. after: the last handled tick before the gap. unsure: how many of the ticks that are left
    out a lost leader may have sent.
    """

    ticks: int  # COUNTED at most for a cron line
    newest: float  # seconds since the epoch
    made_up: bool
    after: float = 0.0
    unsure: int = 0


@dataclass(frozen=True)
class Due:
    """What to do now: log a gap, and send ticks.

    ticks: seconds since the epoch, the oldest first.
    """

    gap: Gap | None
    ticks: tuple[float, ...]


def last_tick(entry: ScheduleSettings, now: float, zone: ZoneInfo) -> float:
    """Return the newest tick that is not after `now` (seconds since the epoch).

    `every` ticks at the multiples of its length since the epoch, `cron` in the time zone of the
    app.
    """
    if entry.every is None:
        return last_of(entry.cron or "", now, zone)
    return math.floor(now / entry.every) * entry.every


def next_tick(entry: ScheduleSettings, now: float, zone: ZoneInfo) -> float:
    """Return the first tick after `now` (seconds since the epoch)."""
    if entry.every is None:
        return next_of(entry.cron or "", now, zone)
    number = math.floor(now / entry.every) + 1
    # A tick divided by the length may be a little less than its number: then the product is the
    # tick itself, and the next one is asked for.
    return (number if number * entry.every > now else number + 1) * entry.every


def due(
    entry: ScheduleSettings, sent: float, now: float, zone: ZoneInfo, begun: Collection[float] = ()
) -> Due:
    """Return what to do at `now`.

    sent: the last handled tick. begun: ticks whose sending had begun. All times are in seconds
    since the epoch.

    Each tick that is late by GRACE at most is sent: a step takes time, and so does a change of the
    leader. The older ticks were missed. The newest missed tick is made up for if the entry's
    `misfire` asks for it and no newer tick is sent: a schedule says when, not how many.

    Whether the broker has a tick whose sending had begun is not known. When the tick is sent again,
    its task has the same id, so no task is lost and none runs twice. If `misfire` forbids late
    ticks, the tick is left out.
    """
    newest = last_tick(entry, now, zone)
    if newest <= sent:
        # This also holds after the wall clock stepped back: a tick that was sent is not sent again.
        return Due(None, ())
    # A tick that is late by exactly GRACE is sent.
    missed = last_tick(entry, math.nextafter(now - GRACE, 0), zone)
    # The search below does not find ticks that were begun by another rule of the entry.
    ticks = {tick for tick in begun if max(sent, missed) < tick <= newest}
    tick = next_tick(entry, max(sent, missed), zone)
    while tick <= newest:
        ticks.add(tick)
        tick = next_tick(entry, tick, zone)
    if missed <= sent:
        return Due(None, tuple(sorted(ticks)))
    unknown = sorted({tick for tick in begun if sent < tick <= missed})
    count = _count(entry, sent, missed, zone)
    if entry.misfire == "skip":
        return Due(Gap(count, missed, False, sent, len(unknown)), tuple(sorted(ticks)))
    made_up = not ticks or missed in unknown
    again = [tick for tick in unknown if tick < missed]
    told = max(count - len(again), int(made_up))
    return Due(
        Gap(told, missed, made_up, sent), (*again, *([missed] if made_up else []), *sorted(ticks))
    )


def same_rule(
    one: ScheduleSettings, zone: ZoneInfo, other: ScheduleSettings, other_zone: ZoneInfo
) -> bool:
    """Return whether both entries tick at the same times."""
    if (one.every, one.cron) != (other.every, other.cron):
        return False
    return one.every is not None or zone.key == other_zone.key


def trusted(
    entry: ScheduleSettings, sent: float, now: float, zone: ZoneInfo, early: bool = True
) -> float:
    """Return the last handled tick of the entry, corrected when a wrong clock has sent it.

    Returns `sent`, or the newest past tick when `sent` is too far in the future: with such a last
    tick the entry would send nothing until then. A `sent` that is the entry's very next tick stays:
    a tick that ran early is not run again.

    early: False when the tick did not run early, because it was left out.
    """
    if sent <= now + AHEAD or (early and sent <= min(now + EARLY, next_tick(entry, now, zone))):
        return sent
    return last_tick(entry, now, zone)


def task_id(app: str, entry: str, tick: float, count: int = 0) -> str:
    """Return the id of the task of this tick.

    A tick that is sent twice, around a crash or a change of the leader, is the same task.

    count: how often the entry has begun again after a clock that was ahead. The tasks of that clock
    get other ids: a worker that has run such a task must not drop the task of this tick.
    """
    return str(uuid5(_NAMESPACE, f"{app}/{entry}/{tick:.6f}" + (f"/{count}" if count else "")))


def pause(ticks: list[float], now: float, longest: float) -> float:
    """Return the seconds until the next tick, `longest` at most.

    The limit lets the daemon write its heartbeat, and notice that a clock was set.
    """
    return max(0.0, min([longest, *(tick - now for tick in ticks)]))


def _count(entry: ScheduleSettings, after: float, last: float, zone: ZoneInfo) -> int:
    """Return the number of ticks after `after`, up to the tick `last`.

    For a cron line the number is COUNTED at most.
    """
    first = next_tick(entry, after, zone)
    if entry.every is not None:
        return round((last - first) / entry.every) + 1
    found, tick = 1, first
    while tick < last and found < COUNTED:
        tick, found = next_tick(entry, tick, zone), found + 1
    return found
