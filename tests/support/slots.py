"""Slots in plain memory, and what holds of them always."""

from __future__ import annotations

from array import array

from warren.quotas.layout import HEADER_WORDS, MAGIC, NIL, SLOT_WORDS, VERSION, Head, Slot, State
from warren.quotas.ledger_file import boot_word
from warren.quotas.rebuild import rebuild
from warren.quotas.slots import Slots
from warren.quotas.ticket import Ticket
from warren.quotas.window_change import retime
from warren.system.process import Process

ME, OTHER, DEAD = Process(11, 100), Process(12, 200), Process(13, 300)
WINDOW, LONGEST = 100, 7
#: Slots that there is room for.
MOST = 9


def make(limit: int, capacity: int = 0, most: int = MOST) -> Slots:
    """Return slots in plain memory that were never used, with the lists built.

    most: slots that there is room for.
    """
    words = memoryview(array("q", bytes(8 * (HEADER_WORDS + most * SLOT_WORDS))))
    words[Head.MAGIC], words[Head.VERSION], words[Head.CAPACITY] = MAGIC, VERSION, capacity or limit
    words[Head.LIMIT], words[Head.WINDOW], words[Head.LONGEST_CALL] = limit, WINDOW, LONGEST
    words[Head.BOOT] = boot_word()
    slots = Slots(words)
    rebuild(slots, 0)
    return slots


def set_limits(slots: Slots, limit: int, window: int, longest: int, now: int) -> None:
    """Other terms, as a ledger that is configured again gets them."""
    for slot in range(int(slots.words[Head.CAPACITY]), limit):
        slots.words[Head.CAPACITY] = slot + 1
        slots.put(slot, Slot.STATE, State.RETIRED)  # as the file grows
    retime(slots, window, longest, now)
    slots.words[Head.LIMIT] = limit
    rebuild(slots, now)


def copy(slots: Slots) -> Slots:
    """The same words, elsewhere."""
    return Slots(memoryview(array("q", slots.words.tolist())))


def chain(slots: Slots, head: Head) -> list[int]:
    """The slots of a list, in its order."""
    found: list[int] = []
    slot = int(slots.words[head])
    while slot != NIL:
        assert slot not in found, "a list runs in a circle"
        found.append(slot)
        slot = slots.get(slot, Slot.NEXT)
    return found


def check_lists(slots: Slots, now: int) -> None:
    """Check that the lists hold exactly the idle slots, in order.

    They are what `rebuild` would make of the slots.
    """
    words = slots.words
    assert words[Head.BUSY] == 0
    free, cooling = chain(slots, Head.FREE_HEAD), chain(slots, Head.COOL_HEAD)
    states = slots.column(Slot.STATE).tolist()
    assert len(free) == words[Head.FREE_COUNT]
    assert sorted(free + cooling) == [
        slot for slot, state in enumerate(states) if state == State.RESTING
    ]
    assert words[Head.RETIRED_COUNT] == states.count(State.RETIRED)
    assert max((slots.get(slot, Slot.UNTIL) for slot in free), default=0) <= now
    untils = [slots.get(slot, Slot.UNTIL) for slot in cooling]
    assert untils == sorted(untils)
    for row, tail in ((free, Head.FREE_TAIL), (cooling, Head.COOL_TAIL)):
        assert words[tail] == (row[-1] if row else NIL)
    assert [slots.get(slot, Slot.PREV) for slot in cooling] == [NIL, *cooling[:-1]][: len(cooling)]
    thawed, rebuilt = copy(slots), copy(slots)
    thawed.release_due(now, len(states))
    rebuild(rebuilt, now)
    for head in (Head.FREE_COUNT, Head.RETIRED_COUNT):
        assert thawed.words[head] == rebuilt.words[head]
    assert sorted(chain(thawed, Head.COOL_HEAD)) == sorted(chain(rebuilt, Head.COOL_HEAD))


#: When the scene is.
NOW = 1000


def scene() -> tuple[Slots, dict[str, Ticket]]:
    """Return six slots and a retired one.

    One is open of mine, one of a dead process, one cooling, one cooled but not brought in, two
    free.
    """
    slots = make(6, 7)
    at = NOW - WINDOW - 20
    tickets = {
        name: slots.reserve(owner, at)
        for name, owner in {"cooled": ME, "cooling": ME, "mine": ME, "dead": DEAD}.items()
    }
    slots.settle(tickets["cooled"], NOW - 20)
    slots.settle(tickets["cooling"], NOW + 50)
    return slots, tickets
