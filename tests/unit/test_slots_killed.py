"""The arithmetic of slots, killed at every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.slots import DEAD, LONGEST, ME, NOW, OTHER, WINDOW, check_lists, copy, scene
from warren.quotas.layout import Head, Slot, State
from warren.quotas.ledger_file import boot_word
from warren.quotas.reboot import take_over
from warren.quotas.rebuild import rebuild
from warren.quotas.slots import Slots
from warren.quotas.ticket import Ticket
from warren.quotas.window_change import retime
from warren.system.process import Process


class KilledError(BaseException):
    """The process ended here."""


class Dying:
    """Memory that takes so many stores; the next one kills. Bulk stores count word by word."""

    def __init__(self, words: memoryview, left: list[int]) -> None:
        self.words, self.left = words, left

    def __getitem__(self, where: int | slice) -> int | Dying:
        return (
            Dying(self.words[where], self.left)
            if isinstance(where, slice)
            else int(self.words[where])
        )

    def __setitem__(self, where: int | slice, value: int | memoryview) -> None:
        indexes = range(len(self.words))[where] if isinstance(where, slice) else [where]
        values = [value] if isinstance(value, int) else value.tolist()
        for index, word in zip(indexes, values, strict=True):
            if self.left[0] == 0:
                raise KilledError
            self.left[0] -= 1
            self.words[index] = word

    def __len__(self) -> int:
        return len(self.words)

    def tolist(self) -> list[int]:
        return self.words.tolist()


def crashes(
    act: Callable[[Slots, dict[str, Ticket]], object],
) -> Iterator[tuple[int, Slots, dict[str, Ticket]]]:
    """Yield the scene after `act` was killed at its first store, its second, and so on.

    The last scene is that after all of it.
    """
    for stores in range(10_000):
        slots, tickets = scene()
        try:
            act(Slots(Dying(slots.words, [stores])), tickets)  # type: ignore[arg-type]
        except KilledError:
            yield stores, slots, tickets
        else:
            assert stores > 0, "nothing was stored at all"
            yield stores, slots, tickets
            return


def recover(slots: Slots, now: int = NOW) -> None:
    """What the next process does that gets the lock."""
    if slots.words[Head.BUSY]:
        rebuild(slots, now)


def cooling_until(slots: Slots, ticket: Ticket) -> int:
    """Until when the ticket's slot is surely not reserved again; without end while it is open."""
    state = slots.get(ticket.slot, Slot.STATE)
    return 10**9 if state == State.OPEN else slots.get(ticket.slot, Slot.UNTIL)


ACTS: dict[str, Callable[[Slots, dict[str, Ticket]], object]] = {
    "reserve": lambda slots, tickets: (
        slots.available(3, NOW) and [slots.reserve(ME, NOW) for _ in range(3)]
    ),
    "claim": lambda slots, tickets: slots.claim(tickets["mine"], OTHER),
    "settle": lambda slots, tickets: slots.settle(tickets["mine"], NOW + WINDOW),
    "settle unknown": lambda slots, tickets: slots.settle(tickets["mine"], NOW + WINDOW + LONGEST),
    "settle out of order": lambda slots, tickets: slots.settle(tickets["mine"], NOW + 30),
    "refund": lambda slots, tickets: slots.refund(tickets["mine"], NOW),
    "thaw": lambda slots, tickets: slots.release_due(NOW, 9),
    "reap": lambda slots, tickets: slots.reap(lambda owner: owner != DEAD, lambda: NOW),
    "rebuild": lambda slots, tickets: rebuild(slots, NOW),
}
#: From the end of the act: what must cool at least so long, whether the act was done in part or
#: wholly.
MUST = {
    "settle": NOW + WINDOW,
    "settle unknown": NOW + WINDOW + LONGEST,
    "settle out of order": NOW + 30,
}


@pytest.mark.parametrize("act", ACTS)
def test_killed_at_any_store(act: str) -> None:
    """After a kill before any store of any operation, no call is forgotten.

    No slot is lost, and the lists are right again.
    """
    for stores, slots, tickets in crashes(ACTS[act]):
        recover(slots)
        check_lists(slots, NOW)
        assert cooling_until(slots, tickets["cooling"]) >= NOW + 50, stores
        assert cooling_until(slots, tickets["dead"]) >= NOW + WINDOW + LONGEST, stores
        if act != "refund":
            assert cooling_until(slots, tickets["mine"]) >= MUST.get(act, 10**9), stores
        everybody_ends(slots)


@pytest.mark.parametrize("act", ["reserve", "settle", "reap"])
def test_killed_while_it_mends_what_another_left(act: str) -> None:
    """A process that finds the lists half changed may be killed as well, at any store.

    So may the next one.
    """
    for stores, slots, tickets in crashes(ACTS[act]):
        for again in range(0, 40, 3):
            twice = copy(slots)
            if twice.words[Head.BUSY]:
                try:
                    rebuild(Slots(Dying(twice.words, [again])), NOW)  # type: ignore[arg-type]
                except KilledError:
                    recover(twice)
            check_lists(twice, NOW)
            assert cooling_until(twice, tickets["dead"]) >= NOW + WINDOW + LONGEST, (stores, again)
            everybody_ends(twice)


def everybody_ends(slots: Slots, now: int = NOW) -> None:
    """All owners die, a window passes: the limit is whole, and not more than whole."""
    slots.reap(lambda owner: False, lambda: now)
    later = now + int(slots.words[Head.WINDOW]) + int(slots.words[Head.LONGEST_CALL])
    slots.release_due(later, 99)
    check_lists(slots, later)
    assert slots.words[Head.FREE_COUNT] == slots.words[Head.LIMIT]


def test_killed_between_reservations_and_owner() -> None:
    """A claim that is cut off leaves the slot to the old owner, the new one, or a dead one.

    It never leaves the slot free.
    """
    owners = set()
    for _, slots, tickets in crashes(ACTS["claim"]):
        owners.add(dict(slots.open_tickets())[tickets["mine"]])
    assert owners == {ME, Process(ME.pid, OTHER.start), OTHER}


@pytest.mark.parametrize(
    "limits",
    [
        (WINDOW * 3, LONGEST),
        (WINDOW // 2, LONGEST),
        (WINDOW, LONGEST * 3),
        (WINDOW // 2, 40),
        (300, 1),
    ],
)
@pytest.mark.parametrize("revert", [False, True])
def test_killed_while_limits_change(limits: tuple[int, int], revert: bool) -> None:
    """A change of the window that is cut off anywhere frees no slot early and none too late.

    It is done again or taken back afterwards.
    """
    window, longest = limits
    for stores, slots, tickets in crashes(lambda slots, _: retime(slots, window, longest, NOW)):
        final = (WINDOW, LONGEST) if revert else limits
        for _ in range(3):  # a start that fails again and again, as on a full disk
            retime(slots, *final, NOW + 1)
        rebuild(slots, NOW + 1)
        check_lists(slots, NOW + 1)
        # These calls ended a WINDOW (old) before their slots were to be free.
        for name, ended in (("cooling", NOW + 50 - WINDOW), ("cooled", NOW - 20 - WINDOW)):
            assert cooling_until(slots, tickets[name]) >= ended + final[0], (name, stores)
        assert max(slots.column(Slot.UNTIL).tolist()) <= NOW + 1 + sum(final)
        everybody_ends(slots, NOW + 1)


@pytest.mark.parametrize("window", [WINDOW // 2, WINDOW, WINDOW * 3])
def test_killed_while_a_boot_is_taken_over(window: int) -> None:
    """After a kill at any store of a take-over, the next one lets enough slots cool.

    As many cool for a full window as may have been in use.
    """

    def act(slots: Slots, _: object) -> None:
        slots.words[Head.BOOT] = 5
        take_over(slots, window, LONGEST, NOW, 0)

    for stores, slots, _ in crashes(act):
        if slots.words[Head.BOOT] == boot_word():  # done, for all that anybody can see
            recover(slots)
            check_lists(slots, NOW)
        take_over(slots, window, LONGEST, NOW + 1, 0)
        retime(slots, window, LONGEST, NOW + 1)
        rebuild(slots, NOW + 1)
        check_lists(slots, NOW + 1)
        if stores:  # before the first one it is still this boot's
            counts = slots.counts(NOW + window)
            assert counts.cooling >= (7 if window > WINDOW else 4), stores
            assert counts.open == 0
        everybody_ends(slots, NOW + 1)
