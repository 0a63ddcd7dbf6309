"""When schedule entries tick.

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
#: A tick sent this late (seconds) was missed: no beat was running when it came due.
GRACE = 10.0
#: A remembered tick that lies further ahead of now (seconds) was sent by a wrong clock, and is not
#: waited for.
AHEAD = 600.0
#: An entry's next tick that was sent at most this early (seconds) is waited for: the clock was
#: wrong by some hours.
EARLY = 86400.0
#: Ticks of a cron line that are counted at most in one gap: a line that ticks each minute has as
#: many in a week.
COUNTED = 10_000


@dataclass(frozen=True)
class Gap:
    """Ticks that were missed because no beat led when they came due: their number, the newest of
    them, and whether the newest is sent.

    They came due after `after`. A leader that was lost may have sent `unsure` of the ticks that are
    left out.
    """

    ticks: int  # of a cron line COUNTED at most
    newest: float  # seconds since the epoch
    made_up: bool
    after: float = 0.0
    unsure: int = 0


@dataclass(frozen=True)
class Due:
    """The acts of now: tell of a gap, and send these ticks (seconds since the epoch, the oldest
    first).
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
    """Return what to do at `now` when `sent` was the last handled tick, and the sending of
    `begun` had begun.

    Each tick that is late by GRACE at most is sent: a step takes time, and so does a change of the
    leader. The older ticks were missed. Of these the newest is made up for where the entry's
    misfire says so and nothing newer is sent: a schedule says when, not how many.

    Whether the broker has a tick whose sending had begun is not known. Sent again it is the same
    task, by its id: that is no loss and no second task. Where the misfire forbids a late tick it is
    left out.
    """
    newest = last_tick(entry, now, zone)
    if newest <= sent:
        # Also when the wall clock stepped back: a tick that was sent is not sent again.
        return Due(None, ())
    # A tick that is late by exactly GRACE is sent.
    missed = last_tick(entry, math.nextafter(now - GRACE, 0), zone)
    # Ticks that another rule has begun are not among those that are searched below.
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
    """Return the last handled tick: `sent`, or the newest past tick where a wrong clock has
    sent `sent` too far in the future.

    Such a tick would silence the entry until then. Where `sent` is the entry's very next tick it
    silences nothing: a tick that ran early is not run again, unless it did not run (`early` is
    False).
    """
    if sent <= now + AHEAD or (early and sent <= min(now + EARLY, next_tick(entry, now, zone))):
        return sent
    return last_tick(entry, now, zone)


def task_id(app: str, entry: str, tick: float, count: int = 0) -> str:
    """Return the id of the task of this tick: sent twice, around a crash or a change of the leader,
    it is the same task.

    count: how often the entry has begun again after a clock that was ahead. What that clock had
    sent is another task: a worker that has run it must not drop the task of this tick.
    """
    return str(uuid5(_NAMESPACE, f"{app}/{entry}/{tick:.6f}" + (f"/{count}" if count else "")))


def pause(ticks: list[float], now: float, longest: float) -> float:
    """Return the seconds until the next tick, `longest` at most.

    So the daemon writes its heartbeat, and notices a clock that was set.
    """
    return max(0.0, min([longest, *(tick - now for tick in ticks)]))


def _count(entry: ScheduleSettings, after: float, last: float, zone: ZoneInfo) -> int:
    """Return how many ticks there are after `after`, up to the tick `last`; of a cron line COUNTED
    at most.
    """
    first = next_tick(entry, after, zone)
    if entry.every is not None:
        return round((last - first) / entry.every) + 1
    found, tick = 1, first
    while tick < last and found < COUNTED:
        tick, found = next_tick(entry, tick, zone), found + 1
    return found
