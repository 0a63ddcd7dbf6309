"""The arithmetic of slots: terms that change, boots, words that somebody else wrote."""

from __future__ import annotations

import pytest

from support.slots import LONGEST, ME, NOW, WINDOW, copy, make, scene
from warren.quotas.layout import NIL, Head, Slot, State
from warren.quotas.reboot import take_over
from warren.quotas.rebuild import rebuild
from warren.quotas.slots import Contradiction, Slots
from warren.quotas.window_change import retime


def test_refund_after_a_longer_window() -> None:
    """A slot that is refunded after the window was made longer cools for its last real call."""
    slots = make(1)
    slots.settle(slots.reserve(ME, 0), WINDOW)
    assert slots.available(1, WINDOW + 5)
    ticket = slots.reserve(ME, WINDOW + 5)
    retime(slots, WINDOW * 3, LONGEST, WINDOW + 10)
    rebuild(slots, WINDOW + 10)
    slots.refund(ticket, WINDOW + 20)
    assert not slots.available(1, WINDOW * 3 - 1)
    assert slots.available(1, WINDOW * 3 + 10)


def called_often(*ends: int) -> Slots:
    """One slot that served calls which ended at these times, and cooled after each."""
    slots = make(1)
    for at in ends:
        assert slots.available(1, at)
        slots.settle(slots.reserve(ME, at), at + WINDOW)
    return slots


def limits(slots: Slots, limit: int, window: int, now: int) -> None:
    """Changes the terms, and makes room for a higher limit as a file that grows does."""
    for slot in range(int(slots.words[Head.CAPACITY]), limit):
        slots.words[Head.CAPACITY] = slot + 1
        slots.put(slot, Slot.STATE, State.RETIRED)
    retime(slots, window, LONGEST, now)
    slots.words[Head.LIMIT] = limit
    rebuild(slots, now)


@pytest.mark.parametrize(
    "steps", [[(3, 5 * WINDOW)], [(3, WINDOW), (3, 5 * WINDOW)], [(1, 5 * WINDOW), (3, 5 * WINDOW)]]
)
def test_calls_that_no_slot_remembers(steps: list[tuple[int, int]]) -> None:
    """A slot that comes into service stands for calls whose slot has served again.

    They did so before, with or after a longer window.
    """
    slots = called_often(0, WINDOW, 2 * WINDOW)
    for limit, window in steps:
        limits(slots, limit, window, 3 * WINDOW + 10)
    # Three calls count in a window of 5 * WINDOW until the first of them, which ended at 0, leaves
    # it.
    assert slots.counts(5 * WINDOW - 1).free == 0
    assert not slots.available(1, 5 * WINDOW - 1)
    assert slots.available(3, 8 * WINDOW)


def test_a_longest_call_made_longer() -> None:
    """A lost call that cools does so as long as a call may now be under way."""
    slots = make(1)
    slots.settle(slots.reserve(ME, 0), WINDOW + LONGEST)
    retime(slots, WINDOW, 5 * LONGEST, 10)
    rebuild(slots, 10)
    assert not slots.available(1, WINDOW + 5 * LONGEST - 1)
    assert slots.available(1, WINDOW + 5 * LONGEST)


def test_a_refund_stands_for_calls_that_no_slot_remembers() -> None:
    """A slot that was open while others served, and is released then, makes no more room."""
    slots = make(2)
    unsent = slots.reserve(ME, 0)
    for at in (0, WINDOW, 2 * WINDOW):
        assert slots.available(1, at)
        slots.settle(slots.reserve(ME, at), at + WINDOW)
    for first in ("refund", "terms"):
        again = copy(slots)
        now = 3 * WINDOW + 10
        if first == "refund":
            again.refund(unsent, now)
        limits(again, 2, 5 * WINDOW, now)
        again.refund(unsent, now + 1)
        assert not again.available(1, 5 * WINDOW - 1)  # three calls count: of 0, 1 and 2 windows
        assert again.available(2, 8 * WINDOW)


def test_a_lowered_limit_takes_refunds_out_of_service() -> None:
    """Below a lowered limit no refunded slot serves until few enough are in use."""
    slots = make(4)
    tickets = [slots.reserve(ME, 0) for _ in range(4)]
    slots.words[Head.LIMIT] = 2
    rebuild(slots, 0)
    for ticket in tickets[:2]:
        slots.refund(ticket, 1)
        assert not slots.available(1, 1)
    slots.refund(tickets[2], 1)
    assert slots.available(1, 1)
    assert not slots.available(2, 1)


def test_a_boot_with_the_lists_half_changed() -> None:
    """When the machine went down in the middle of a change, every slot cools."""
    slots, _ = scene()
    slots.words[Head.BUSY], slots.words[Head.BOOT] = 1, 5
    assert take_over(slots, WINDOW, LONGEST, NOW, 0)
    rebuild(slots, NOW)
    assert slots.counts(NOW + WINDOW + LONGEST - 1).cooling == 7


def test_calls_before_a_boot_count_in_a_longer_window() -> None:
    """A window that becomes longer with the boot, or after it, reaches calls of the old boot."""
    for late in (False, True):
        slots = make(3)
        slots.settle(slots.reserve(ME, 0), WINDOW)
        slots.release_due(WINDOW, 9)
        slots.words[Head.BOOT] = 5
        take_over(slots, WINDOW if late else WINDOW * 9, LONGEST, 20, 0)
        retime(slots, WINDOW * 9, LONGEST, 30)
        rebuild(slots, 30)
        assert slots.counts(20 + WINDOW * 8 - 1).free == 0


def test_calls_that_no_slot_remembers_over_a_boot() -> None:
    """A limit that is raised with a boot makes no room for calls that no slot remembers.

    These are calls of a longer window.
    """
    slots = make(3)
    for _ in range(3):
        slots.settle(slots.reserve(ME, 0), WINDOW)
    limits(slots, 1, WINDOW, WINDOW)
    for at in range(WINDOW, 11 * WINDOW, WINDOW):
        assert slots.available(1, at)
        slots.settle(slots.reserve(ME, at), at + WINDOW)
    limits(slots, 1, 5 * WINDOW, 11 * WINDOW)
    slots.words[Head.BOOT] = 5
    assert take_over(slots, 5 * WINDOW, LONGEST, 20, 0)
    limits(slots, 3, 5 * WINDOW, 20)
    assert slots.counts(20 + 5 * WINDOW - 1).free == 0


def test_the_high_water_mark_outweighs_the_lists() -> None:
    """After a power cut as many slots cool as the mark says.

    The lists of the file may know of fewer.
    """
    slots = make(6)
    slots.reserve(ME, NOW)
    slots.words[Head.HIGH_WATER] = 4
    slots.words[Head.BOOT] = 5
    take_over(slots, WINDOW, LONGEST, NOW, 0)
    rebuild(slots, NOW)
    assert (slots.counts(NOW).cooling, slots.counts(NOW).free) == (4, 2)
    assert not take_over(slots, WINDOW, LONGEST, NOW, 0)


@pytest.mark.parametrize("slot", ["mine", "cooling", "retired", NIL, -60, 7, 10**6])
def test_a_list_that_lies(slot: int | str) -> None:
    """A free list that names an open, cooling or unknown slot is found out in time.

    The slot is not given away.
    """
    slots, tickets = scene()
    known = {name: ticket.slot for name, ticket in tickets.items()}
    known["retired"] = slots.column(Slot.STATE).tolist().index(State.RETIRED)
    slots.words[Head.FREE_HEAD] = known[slot] if isinstance(slot, str) else slot
    before = slots.words.tolist()
    with pytest.raises(Contradiction):
        slots.reserve(ME, NOW)
    assert slots.words.tolist() == before


def test_a_cooling_list_in_a_circle() -> None:
    """A circle among the cooling slots is told, not walked for ever."""
    slots = make(3)
    first, second, third = (slots.reserve(ME, 0) for _ in range(3))
    slots.settle(first, 500)
    slots.settle(second, 600)
    slots.put(first.slot, Slot.PREV, second.slot)
    with pytest.raises(Contradiction):
        slots.settle(third, 100)


def test_closed_until() -> None:
    """A closed quota admits nothing, and says when it opens."""
    slots = make(2)
    slots.words[Head.CLOSED_UNTIL] = 50
    assert not slots.available(1, 49)
    assert slots.next_free(1, 49) == 50
    assert slots.counts(49).wait_s(49) == 1e-9
    assert slots.counts(50).wait_s(50) == 0.0
    assert slots.available(1, 50)


def test_next_free_counts_the_slots_that_are_asked_for() -> None:
    """A caller that needs several slots is told when all of them are free.

    Nothing is promised of open slots.
    """
    slots = make(3)
    tickets = [slots.reserve(ME, 0) for _ in range(3)]
    slots.settle(tickets[0], 10)
    slots.settle(tickets[1], 20)
    assert [slots.next_free(count, 5) for count in (1, 2, 3)] == [10, 20, None]
    slots.release_due(10, 9)
    assert [slots.next_free(count, 12) for count in (1, 2)] == [12, 20]


def test_next_free_below_a_lowered_limit() -> None:
    """What leaves service when it has cooled is nobody's next free slot."""
    slots = make(3)
    for until in (10, 20, 30):
        slots.settle(slots.reserve(ME, 0), until)
    limits(slots, 1, WINDOW, 5)
    assert slots.next_free(1, 5) == 30
    assert not slots.available(1, 29)
    assert slots.available(1, 30)
