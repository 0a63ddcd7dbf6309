"""The arithmetic of slots against a model of the provider."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from support.slots import LONGEST, ME, MOST, WINDOW, check_lists, copy, make, set_limits
from warren.quotas.layout import Head, Slot
from warren.quotas.ticket import Ticket
from warren.system.process import Process


@dataclass
class Reservation:
    """What the provider and the owner know of one ticket: never read by the code under test."""

    ticket: Ticket
    owner: Process
    sent: bool = False
    ended: int | None = None
    lost: bool = False


class Provider(RuleBasedStateMachine):
    """Owners reserve, call, end and die; the provider counts. Times in ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000
        self.program_status: list[Reservation] = []
        self.over: list[Reservation] = []
        self.calls: list[int] = []
        self.dead: set[int] = set()
        self.births = 0
        self.limits_changed = False

    @initialize(limit=st.integers(1, 6), spare=st.integers(0, 3))
    def begin(self, limit: int, spare: int) -> None:
        self.slots = make(limit, limit + spare)
        self.limit, self.window, self.longest = limit, WINDOW, LONGEST
        self.owners = [self._born() for _ in range(3)]

    def _born(self) -> Process:
        self.births += 1
        return Process(100 + self.births % 5, self.births)  # numbers come again, starts never

    def _pick(self, number: int) -> Reservation:
        return self.program_status[number % len(self.program_status)]

    def _counted(self, reservation: Reservation) -> bool:
        """Whether the provider may count this call in a window that ends now."""
        if reservation.ended is None:
            return True
        return (
            reservation.ended + self.window + (self.longest if reservation.lost else 0) > self.now
        )

    # -- owners ------------------------------------------------------------------------------------

    @rule(owner=st.integers(0, 2), count=st.integers(1, 3))
    def reserve(self, owner: int, count: int) -> None:
        counted = sum(map(self._counted, self.over)) + len(self.program_status)
        if not self.slots.available(count, self.now):
            if not self.limits_changed:
                assert counted + count > self.limit, "an allowance was kept back"
            return
        assert counted + count <= self.limit
        for _ in range(count):
            ticket = self.slots.reserve(self.owners[owner], self.now)
            assert all(
                reservation.ticket != ticket for reservation in self.program_status + self.over
            )
            self.program_status.append(Reservation(ticket, self.owners[owner]))

    @precondition(lambda self: self.program_status)
    @rule(number=st.integers(0, 99))
    def send(self, number: int) -> None:
        reservation = self._pick(number)
        if not reservation.sent:
            reservation.sent = True
            self.calls.append(self.now)

    @precondition(lambda self: self.program_status)
    @rule(number=st.integers(0, 99), answered=st.booleans())
    def settle(self, number: int, answered: bool) -> None:
        reservation = self._pick(number)
        # nobody knows what became of a dead one's call
        answered = answered and reservation.owner.start not in self.dead
        until = self.now + self.window + (0 if answered else self.longest)
        assert self.slots.settle(reservation.ticket, until)
        self._end(reservation, lost=not answered)

    @precondition(lambda self: any(not reservation.sent for reservation in self.program_status))
    @rule(number=st.integers(0, 99))
    def refund(self, number: int) -> None:
        unsent = [reservation for reservation in self.program_status if not reservation.sent]
        reservation = unsent[number % len(unsent)]
        assert self.slots.refund(reservation.ticket, self.now)
        self.program_status.remove(reservation)

    @precondition(lambda self: self.program_status)
    @rule(number=st.integers(0, 99), owner=st.integers(0, 2))
    def claim(self, number: int, owner: int) -> None:
        reservation = self._pick(number)
        if reservation.sent:
            return  # a slot is handed over before its call, or not at all
        assert self.slots.claim(reservation.ticket, self.owners[owner])
        reservation.owner = self.owners[owner]

    @rule(owner=st.integers(0, 2), late=st.integers(0, LONGEST))
    def die(self, owner: int, late: int) -> None:
        """Its calls that are under way reach the provider up to LONGEST_CALL later."""
        gone, self.owners[owner] = self.owners[owner], self._born()
        self.dead.add(gone.start)
        for reservation in self.program_status:
            if reservation.owner == gone and not reservation.sent:
                reservation.sent = True
                self.calls.append(self.now + min(late, self.longest))

    @rule()
    def reap(self) -> None:
        gone = [
            reservation
            for reservation in self.program_status
            if reservation.owner.start in self.dead
        ]
        assert self.slots.reap(lambda owner: owner.start not in self.dead, lambda: self.now) == len(
            gone
        )
        for reservation in gone:
            self._end(reservation, lost=True)

    @precondition(lambda self: self.over)
    @rule(number=st.integers(0, 99))
    def use_an_old_ticket(self, number: int) -> None:
        ticket = self.over[number % len(self.over)].ticket
        before = self.slots.words.tolist()
        assert not self.slots.claim(ticket, ME)
        assert not self.slots.settle(ticket, self.now)
        assert not self.slots.refund(ticket, self.now)
        assert self.slots.words.tolist() == before

    def _end(self, reservation: Reservation, lost: bool) -> None:
        reservation.ended, reservation.lost = self.now, lost
        self.program_status.remove(reservation)
        self.over.append(reservation)

    # -- time and terms ----------------------------------------------------------------------------

    @rule(ticks=st.sampled_from([1, 3, LONGEST, WINDOW // 2, WINDOW - 1, WINDOW, WINDOW + LONGEST]))
    def pass_time(self, ticks: int) -> None:
        self.now += ticks

    @rule(windows=st.sampled_from([1, 3]), pace=st.sampled_from([WINDOW // 4, WINDOW]))
    def serve(self, windows: int, pace: int) -> None:
        """Run a phase of steady work between two edits.

        Every slot that there is makes a call, over and over.
        """
        end = self.now + windows * self.window
        while self.now < end:
            for _ in range(self.limit):
                before = len(self.program_status)
                self.reserve(0, 1)
                if len(self.program_status) == before:
                    break
                self.send(before)
                assert self.slots.settle(self.program_status[before].ticket, self.now + self.window)
                self._end(self.program_status[before], lost=False)
            self.now += pace

    @rule(most=st.integers(0, 3))
    def release_due(self, most: int) -> None:
        self.slots.release_due(self.now, most)

    @rule(
        limit=st.integers(1, MOST),
        window=st.sampled_from([WINDOW // 2, WINDOW, WINDOW * 3]),
        longest=st.sampled_from([1, LONGEST, 20]),
    )
    def configure(self, limit: int, window: int, longest: int) -> None:
        self.limit = limit
        self.limits_changed = self.limits_changed or (window, longest) != (
            self.window,
            self.longest,
        )
        self.window, self.longest = window, longest
        set_limits(self.slots, limit, window, longest, self.now)

    @precondition(lambda self: not self.limits_changed)
    @rule(count=st.integers(1, 3))
    def ask_when(self, count: int) -> None:
        """At the time that `next_free` gives there are as many slots, and not before."""
        when = self.slots.next_free(count, self.now)
        if when is None:
            return
        then = copy(self.slots)
        then.release_due(max(when, self.now), 99)
        assert then.words[Head.FREE_COUNT] >= count
        earlier = copy(self.slots)
        earlier.release_due(when - 1, 99)
        assert when <= self.now or earlier.words[Head.FREE_COUNT] < count

    # -- what holds always -------------------------------------------------------------------------

    @invariant()
    def lists_are_right(self) -> None:
        check_lists(self.slots, self.now)

    @invariant()
    def nothing_cools_too_long(self) -> None:
        latest = self.now + self.window + self.longest
        assert max(self.slots.column(Slot.UNTIL).tolist()) <= latest

    @invariant()
    def counts_add_up(self) -> None:
        counts = self.slots.counts(self.now)
        assert counts.open == len(self.program_status)
        assert (
            counts.free + counts.open + counts.cooling + counts.retired
            == self.slots.words[Head.CAPACITY]
        )
        # After the window was made longer the provider may count more calls than there are slots:
        # then none is free.
        assert (
            not counts.free
            or counts.free + counts.open + sum(map(self._counted, self.over)) <= self.limit
        )

    def teardown(self) -> None:
        """When all are dead and a window has passed, the whole limit is there again."""
        if not hasattr(self, "slots"):
            return
        self.slots.reap(lambda owner: False, lambda: self.now)
        self.slots.release_due(self.now + self.window + self.longest, 99)
        check_lists(self.slots, self.now + self.window + self.longest)
        assert self.slots.words[Head.FREE_COUNT] == self.limit


class SteadyProvider(Provider):
    """The same under one limit and window, where the provider's own count can be compared."""

    configure = None  # type: ignore[assignment]

    @invariant()
    def no_window_holds_more(self) -> None:
        calls = sorted(self.calls)
        for first, last in zip(calls, calls[self.limit :], strict=False):
            assert last - first >= self.window, "more calls than the limit lie in one window"


class EditedProvider(RuleBasedStateMachine):
    """Phases of greedy calls with an edit before each use slots again and again.

    They are counted by the calls alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.slots, self.calls = 1000, make(1), list[int]()

    @rule(
        limit=st.integers(1, MOST),
        window=st.sampled_from([WINDOW // 2, WINDOW, WINDOW * 3]),
        windows=st.integers(0, 3),
    )
    def edit_and_serve(self, limit: int, window: int, windows: int) -> None:
        """Callers take each slot at once, for so many windows under these terms."""
        set_limits(self.slots, limit, window, LONGEST, self.now)
        for _ in range(4 * windows + 1):
            while self.slots.available(1, self.now):
                counted = sum(call + window > self.now for call in self.calls)
                assert counted < limit, f"{counted} calls lie in a window of {limit}"
                assert self.slots.settle(self.slots.reserve(ME, self.now), self.now + window)
                self.calls.append(self.now)
            self.now += window // 4


_SETTINGS = settings(
    max_examples=120, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_any_history_of_owners_and_limits() -> None:
    """Whatever owners do and limits become, no call is admitted beyond the limit.

    No call is kept back, and the lists are right.
    """
    run_state_machine_as_test(Provider, settings=_SETTINGS)


def test_no_edit_between_phases_of_greedy_calls_lets_too_many_through() -> None:
    """However often limit and window change, no call is made that has no room.

    Each slot is used over and over.
    """
    run_state_machine_as_test(EditedProvider, settings=_SETTINGS)


def test_the_provider_never_counts_more_than_the_limit() -> None:
    """Counted at the provider, no window holds more calls than the limit.

    This includes late calls of dead processes.
    """
    run_state_machine_as_test(SteadyProvider, settings=_SETTINGS)
