"""The arithmetic of slots: pure functions of memory and a time that is passed in.

A quota of `limit` calls per window is exactly `limit` slots. A call holds its slot from before it is sent until a full window
after its response, so at most `limit` calls lie in any window of the provider's. Reserve and settle touch a few slots only.

Why it is safe to be killed anywhere: STATE and UNTIL of each slot are the truth, written in an order in which every prefix counts
a call too many rather than one too few. The lists are a convenience: BUSY marks a change, and who finds it set rebuilds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from warren.process import Process
from warren.quota.layout import HEADER_WORDS, NIL, SLOT_WORDS, Head, Slot, State


@dataclass(frozen=True)
class Ticket:
    """Proof of one reservation: the slot's number, and a serial that no later reservation of the slot has."""

    slot: int
    serial: int


@dataclass(frozen=True)
class Counts:
    """Where the slots are. `next_free` is the time (ns) at which the next cooling slot is free, None when none cools."""

    limit: int
    free: int
    open: int
    cooling: int
    retired: int
    next_free: int | None
    closed_until: int
    admitted: int
    refused: int

    @property
    def used(self) -> int:
        """Slots that a provider may be counting now, 0 to the highest limit there ever was."""
        return self.open + self.cooling


class Slots:
    """The slots in `words` (a memoryview of format 'q'). The caller holds the ledger's lock around every call."""

    def __init__(self, words: memoryview) -> None:
        self.words = words

    # -- one slot --------------------------------------------------------------------------------------------------

    def get(self, slot: int, word: Slot) -> int:
        """One word of one slot."""
        return int(self.words[HEADER_WORDS + slot * SLOT_WORDS + word])

    def put(self, slot: int, word: Slot, value: int) -> None:
        """Stores one word of one slot."""
        self.words[HEADER_WORDS + slot * SLOT_WORDS + word] = value

    def holds(self, ticket: Ticket) -> bool:
        """Whether the reservation of this ticket still stands."""
        return (
            0 <= ticket.slot < self.words[Head.CAPACITY]
            and self.get(ticket.slot, Slot.STATE) == State.OPEN
            and self.get(ticket.slot, Slot.SERIAL) == ticket.serial
        )

    # -- calls -----------------------------------------------------------------------------------------------------

    def available(self, count: int, now: int) -> bool:
        """Whether `count` slots could be reserved now; brings in cooled slots, at most `count` + 2 of them."""
        self.thaw(now, count + 2)
        return bool(self.words[Head.FREE_COUNT] >= count and self.words[Head.CLOSED_UNTIL] <= now)

    def reserve(self, owner: Process, now: int) -> Ticket:
        """Opens a free slot for `owner`. The caller has asked `available` under the same lock."""
        words = self.words
        slot = int(words[Head.FREE_HEAD])
        serial = int(words[Head.SERIAL]) + 1
        words[Head.BUSY] = 1
        words[Head.SERIAL] = serial
        words[Head.FREE_HEAD] = self.get(slot, Slot.NEXT)
        words[Head.FREE_COUNT] -= 1
        words[Head.ADMITTED] += 1
        self.put(slot, Slot.SERIAL, serial)
        self.put(slot, Slot.PID, owner.pid)
        self.put(slot, Slot.START, owner.start)
        self.put(slot, Slot.SINCE, now)
        # Last: killed before this, nobody has the ticket and the slot is as free as it was.
        self.put(slot, Slot.STATE, State.OPEN)
        words[Head.BUSY] = 0
        return Ticket(slot, serial)

    def claim(self, ticket: Ticket, owner: Process) -> bool:
        """Makes `owner` the one who may make the call; False when the slot is no longer the ticket's."""
        if not self.holds(ticket):
            return False
        # Between the two stores the owner is nobody who lives: read so, the slot cools, and the claimer is told at its next use.
        self.put(ticket.slot, Slot.START, owner.start)
        self.put(ticket.slot, Slot.PID, owner.pid)
        return True

    def settle(self, ticket: Ticket, until: int) -> bool:
        """Lets the slot cool until `until`; False when the ticket's reservation no longer stands (it was settled before)."""
        if not self.holds(ticket):
            return False
        self.words[Head.BUSY] = 1
        # First UNTIL, then STATE: killed between them the slot is open, its owner dead, and it cools from when that is seen.
        self.put(ticket.slot, Slot.UNTIL, until)
        self.put(ticket.slot, Slot.STATE, State.RESTING)
        self._cool(ticket.slot)
        self.words[Head.BUSY] = 0
        return True

    def refund(self, ticket: Ticket) -> bool:
        """Frees the slot at once: only for a call that was provably not sent. UNTIL keeps the slot's last real use."""
        if not self.holds(ticket):
            return False
        self.words[Head.BUSY] = 1
        self.words[Head.ADMITTED] -= 1
        self.put(ticket.slot, Slot.STATE, State.RESTING)
        self._free(ticket.slot)
        self.words[Head.BUSY] = 0
        return True

    def thaw(self, now: int, most: int) -> None:
        """Moves up to `most` slots that have cooled to the free ones, or retires them while there are more than LIMIT."""
        words = self.words
        while most > 0 and words[Head.COOL_HEAD] != NIL:
            slot = int(words[Head.COOL_HEAD])
            if self.get(slot, Slot.UNTIL) > now:
                return
            words[Head.BUSY] = 1
            after = self.get(slot, Slot.NEXT)
            words[Head.COOL_HEAD] = after
            if after == NIL:
                words[Head.COOL_TAIL] = NIL
            else:
                self.put(after, Slot.PREV, NIL)
            if words[Head.CAPACITY] - words[Head.RETIRED_COUNT] > words[Head.LIMIT]:
                self.put(slot, Slot.STATE, State.RETIRED)
                words[Head.RETIRED_COUNT] += 1
            else:
                self._free(slot)
            words[Head.BUSY] = 0
            most -= 1

    # -- owners ----------------------------------------------------------------------------------------------------

    def open_tickets(self) -> Iterator[tuple[Ticket, Process]]:
        """Every reservation that stands, with its owner."""
        base, end = HEADER_WORDS, HEADER_WORDS + int(self.words[Head.CAPACITY]) * SLOT_WORDS
        states = self.words[base + Slot.STATE : end : SLOT_WORDS].tolist()
        for slot, state in enumerate(states):
            if state == State.OPEN:
                ticket = Ticket(slot, self.get(slot, Slot.SERIAL))
                yield ticket, Process(self.get(slot, Slot.PID), self.get(slot, Slot.START))

    def reap(self, alive: Callable[[Process], bool], clock: Callable[[], int]) -> int:
        """Lets the slots of dead owners cool, from the moment their death is seen, and says how many they were."""
        dead = [ticket for ticket, owner in self.open_tickets() if not alive(owner)]
        # The clock is read after the deaths were seen. A call that the dead one had just sent may reach the provider later than
        # that, by LONGEST_CALL at most: the slot cools for as much more.
        until = clock() + int(self.words[Head.WINDOW]) + int(self.words[Head.LONGEST_CALL])
        return sum(self.settle(ticket, until) for ticket in dead)

    # -- reading ---------------------------------------------------------------------------------------------------

    def counts(self, now: int) -> Counts:
        """Where the slots are at `now`; O(limit), for the watchdog and for people."""
        words = self.words
        end = HEADER_WORDS + int(words[Head.CAPACITY]) * SLOT_WORDS
        states = words[HEADER_WORDS + Slot.STATE : end : SLOT_WORDS].tolist()
        untils = words[HEADER_WORDS + Slot.UNTIL : end : SLOT_WORDS].tolist()
        resting = [until for state, until in zip(states, untils, strict=True) if state == State.RESTING]
        cooling = [until for until in resting if until > now]
        return Counts(
            limit=int(words[Head.LIMIT]),
            free=len(resting) - len(cooling),
            open=states.count(State.OPEN),
            cooling=len(cooling),
            retired=states.count(State.RETIRED),
            next_free=min(cooling, default=None),
            closed_until=int(words[Head.CLOSED_UNTIL]),
            admitted=int(words[Head.ADMITTED]),
            refused=int(words[Head.REFUSED]),
        )

    def next_free(self, now: int) -> int | None:
        """When (ns) the next slot may be free: the soonest cooling one, not before CLOSED_UNTIL; None when all are open."""
        words = self.words
        closed = int(words[Head.CLOSED_UNTIL])
        if words[Head.FREE_COUNT] > 0:
            return max(now, closed)
        if words[Head.COOL_HEAD] == NIL:
            return None
        return max(self.get(int(words[Head.COOL_HEAD]), Slot.UNTIL), closed)

    # -- lists -----------------------------------------------------------------------------------------------------

    def rebuild(self, now: int) -> None:
        """Makes the lists anew from STATE and UNTIL, with LIMIT slots in service if that many are not in use."""
        words = self.words
        words[Head.BUSY] = 1
        slots = range(int(words[Head.CAPACITY]))
        states = [self.get(slot, Slot.STATE) for slot in slots]
        resting = sorted((self.get(slot, Slot.UNTIL), slot) for slot in slots if states[slot] != State.OPEN)
        words[Head.FREE_HEAD] = words[Head.COOL_HEAD] = words[Head.COOL_TAIL] = NIL
        words[Head.FREE_COUNT] = words[Head.RETIRED_COUNT] = 0
        cooling = [slot for until, slot in resting if until > now]
        spare = int(words[Head.LIMIT]) - states.count(State.OPEN) - len(cooling)
        for slot in cooling:
            # A retired slot that cools (its window was made longer) serves again: its last call may be counted once more.
            self.put(slot, Slot.STATE, State.RESTING)
            self._cool(slot)
        for until, slot in resting:
            if until > now:
                break
            if spare > 0:
                self.put(slot, Slot.STATE, State.RESTING)
                self._free(slot)
                spare -= 1
            else:
                self.put(slot, Slot.STATE, State.RETIRED)
                words[Head.RETIRED_COUNT] += 1
        words[Head.BUSY] = 0

    def _free(self, slot: int) -> None:
        self.put(slot, Slot.NEXT, int(self.words[Head.FREE_HEAD]))
        self.words[Head.FREE_HEAD] = slot
        self.words[Head.FREE_COUNT] += 1

    def _cool(self, slot: int) -> None:
        """Enters a resting slot into the cooling list, from the tail: only calls of unknown outcome stand out of order there."""
        words, until = self.words, self.get(slot, Slot.UNTIL)
        before = int(words[Head.COOL_TAIL])
        while before != NIL and self.get(before, Slot.UNTIL) > until:
            before = self.get(before, Slot.PREV)
        after = int(words[Head.COOL_HEAD]) if before == NIL else self.get(before, Slot.NEXT)
        self.put(slot, Slot.PREV, before)
        self.put(slot, Slot.NEXT, after)
        if before == NIL:
            words[Head.COOL_HEAD] = slot
        else:
            self.put(before, Slot.NEXT, slot)
        if after == NIL:
            words[Head.COOL_TAIL] = slot
        else:
            self.put(after, Slot.PREV, slot)
