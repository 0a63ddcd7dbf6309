"""The lists, built again from the slots after a cut-off change or a change of the settings."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import pairwise

from warren.quotas.layout import NIL, Head, Slot, State
from warren.quotas.slots import Slots


def rebuild(slots: Slots, now: int) -> None:
    """Make the lists from STATE and UNTIL again. O(limit log limit).

    LIMIT slots are in service then, if that many are not in use.
    """
    words = slots.words
    words[Head.BUSY] = 1
    states, untils = slots.column(Slot.STATE).tolist(), slots.column(Slot.UNTIL).tolist()
    latest = now + int(words[Head.WINDOW]) + int(words[Head.LONGEST_CALL])
    for slot, until in enumerate(untils):
        # Longer than a call of this moment could count: the window was made shorter.
        if until > latest:
            slots.put(slot, Slot.UNTIL, latest)
    forgotten = max(oldest_use(slots, now), min(latest, int(words[Head.FORGOTTEN])))
    words[Head.FORGOTTEN] = forgotten if forgotten > now else 0
    closed = [slot for slot, state in enumerate(states) if state != State.OPEN]
    # A retired slot that cools (its window was made longer) serves again: its last call may be
    # counted once more.
    cooling = [slot for slot in closed if untils[slot] > now]
    # Those used last serve on: they remember the last calls.
    cooled = sorted((slot for slot in closed if untils[slot] <= now), key=untils.__getitem__)
    out = max(
        0, len(cooled) - max(0, int(words[Head.LIMIT]) - states.count(State.OPEN) - len(cooling))
    )
    for slot in cooled[:out]:
        slots.put(slot, Slot.STATE, State.RETIRED)
    for slot in (*cooled[out:], *cooling):
        # Others served while it was retired: it comes back when their calls, too, have cooled,
        # which no slot remembers.
        if states[slot] == State.RETIRED and untils[slot] < forgotten:
            untils[slot] = forgotten
            slots.put(slot, Slot.UNTIL, forgotten)
    serving = sorted((*cooled[out:], *cooling), key=untils.__getitem__)
    for slot in serving:
        slots.put(slot, Slot.STATE, State.RESTING)
    first = bisect_right(serving, now, key=untils.__getitem__)
    _link(slots, serving[:first], serving[first:])
    words[Head.RETIRED_COUNT] = out
    words[Head.BUSY] = 0


def oldest_use(slots: Slots, now: int) -> int:
    """Return when (ns) all calls that no slot remembers have cooled; 0: no slot served twice.

    This holds because what was free first served first.
    """
    states, untils = slots.column(Slot.STATE).tolist(), slots.column(Slot.UNTIL).tolist()
    return min(
        (
            until
            for state, until in zip(states, untils, strict=True)
            if state == State.RESTING and until < now
        ),
        default=now,
    )


def _link(slots: Slots, free: list[int], cooling: list[int]) -> None:
    words = slots.words
    after, before = (array("q", [NIL]) * int(words[Head.CAPACITY]) for _ in range(2))
    for row in (free, cooling):
        for first, second in pairwise(row):
            after[first], before[second] = second, first
    slots.column(Slot.NEXT)[:] = memoryview(after)
    slots.column(Slot.PREV)[:] = memoryview(before)
    words[Head.FREE_HEAD], words[Head.FREE_TAIL] = (free[0], free[-1]) if free else (NIL, NIL)
    words[Head.COOL_HEAD], words[Head.COOL_TAIL] = (
        (cooling[0], cooling[-1]) if cooling else (NIL, NIL)
    )
    words[Head.FREE_COUNT] = len(free)
