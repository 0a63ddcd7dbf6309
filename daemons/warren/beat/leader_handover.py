"""With which ticks a new leader continues, by what the last leader kept and this beat knows. Pure.

The classes in `leader/` keep and recall these ticks; last_ticks.py has their format.
"""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from warren.beat.last_ticks import KnownTicks
from warren.beat.pending_ticks import begun_behind
from warren.beat.ticks import last_tick
from warren.config import ScheduleSettings


def ticks_to_continue_with(
    entries: Mapping[str, ScheduleSettings],
    recalled: KnownTicks,
    own: KnownTicks,
    now: float,
    zone: ZoneInfo,
) -> KnownTicks:
    """Return the ticks of these entries with which a new leader continues.

    recalled: the ticks that the last leader kept. own: the ticks that this beat knows itself. An
    entry that no leader has seen begins with its next tick: it has missed no tick.
    """
    last: dict[str, float] = {}
    rounds: dict[str, int] = {}
    for name, entry in entries.items():
        # The ticks that this beat has sent itself count too: on a full disk the next leader's store
        # may not have them. The newer round counts first: a tick of an older round may come from a
        # clock that was ahead.
        known = [
            (each.rounds.get(name, 0), each.last[name])
            for each in (recalled, own)
            if name in each.last
        ]
        count, last[name] = max(known) if known else (0, last_tick(entry, now, zone))
        if count:
            rounds[name] = count
    begun = begun_behind({**own.last, **last}, recalled.begun, own.begun)
    return KnownTicks(last, begun, rounds)
