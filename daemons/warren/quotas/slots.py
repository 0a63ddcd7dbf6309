"""The arithmetic of slots: pure functions of memory and a time that is passed in.

A quota of `limit` calls per window is exactly `limit` slots. A call holds its slot from before it
is sent until a full window after its response, so at most `limit` calls lie in any window of the
provider's. Reserve and settle touch a few slots only.

Why it is safe to be killed anywhere: STATE and UNTIL of each slot are the truth, written in an
order in which every prefix counts a call too many rather than one too few. The lists are a
convenience: BUSY marks a change, and who finds it set makes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from warren.quotas.layout import DRIFT, HEADER_WORDS, NIL, SLOT_WORDS, Head, Slot, State
from warren.quotas.slot_counts import Counts
from warren.quotas.ticket import Ticket
from warren.system.process import Process


class Contradiction(Exception):
    """The words contradict each other though no change was cut off.

    Another program wrote them, and nothing may be admitted.
    """


class Slots:
    """The slots in `words` (a memoryview of format 'q').

    The caller holds the ledger's lock around every call.
    """

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def get(self, slot: int, word: Slot) -> int:
        """Return one word of one slot."""
        return int(self.words[HEADER_WORDS + slot * SLOT_WORDS + word])

    def put(self, slot: int, word: Slot, value: int) -> None:
        """Store one word of one slot."""
        self.words[HEADER_WORDS + slot * SLOT_WORDS + word] = value

    def column(self, word: Slot) -> memoryview:
        """Return one word of every slot, by number."""
        return self.words[
            HEADER_WORDS + word : HEADER_WORDS
            + int(self.words[Head.CAPACITY]) * SLOT_WORDS : SLOT_WORDS
        ]

    def holds(self, ticket: Ticket) -> bool:
        """Return whether the reservation of this ticket still stands."""
        slot = ticket.slot
        known = (
            0 <= slot < self.words[Head.CAPACITY] and self.get(slot, Slot.SERIAL) == ticket.serial
        )
        return known and self.get(slot, Slot.STATE) == State.OPEN

    def owner(self, ticket: Ticket) -> Process | None:
        """Return the process that may make the ticket's call; None when its reservation is over."""
        if not self.holds(ticket):
            return None
        return Process(self.get(ticket.slot, Slot.PID), self.get(ticket.slot, Slot.START))

    @property
    def in_service(self) -> int:
        """Slots that are not retired."""
        return int(self.words[Head.CAPACITY] - self.words[Head.RETIRED_COUNT])

    # -- calls -------------------------------------------------------------------------------------

    def available(self, count: int, now: int) -> bool:
        """Return whether `count` slots could be reserved now.

        Moves cooled slots to the free ones before, at most `count` + 2 of them.
        """
        self.release_due(now, count + 2)
        return bool(self.words[Head.FREE_COUNT] >= count and self.words[Head.CLOSED_UNTIL] <= now)

    def reserve(self, owner: Process, now: int) -> Ticket:
        """Open a free slot for `owner`. Raises Contradiction.

        The caller has asked `available` under the same lock.
        """
        words = self.words
        # The list only says where to look. The limit must not hang on it.
        slot = self._resting(int(words[Head.FREE_HEAD]), now)
        serial = int(words[Head.SERIAL]) + 1
        words[Head.BUSY] = 1
        words[Head.SERIAL] = serial
        words[Head.FREE_HEAD] = after = self.get(slot, Slot.NEXT)
        if after == NIL:
            words[Head.FREE_TAIL] = NIL
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
        """Make `owner` the process that may call; False when the ticket lost the slot."""
        if not self.holds(ticket):
            return False
        # Between the two stores the owner is nobody who lives: read so, the slot cools, and the
        # claimer is told at its next use.
        self.put(ticket.slot, Slot.START, owner.start)
        self.put(ticket.slot, Slot.PID, owner.pid)
        return True

    def settle(self, ticket: Ticket, until: int) -> bool:
        """Let the slot cool until `until` (ns).

        Returns False when the ticket's reservation no longer stands: it was settled before.
        """
        if not self.holds(ticket):
            return False
        self.words[Head.BUSY] = 1
        # First UNTIL, then STATE: killed between them the slot is open, its owner dead, and it
        # cools from when that is seen.
        self.put(ticket.slot, Slot.UNTIL, until)
        self.put(ticket.slot, Slot.STATE, State.RESTING)
        self._cool(ticket.slot)
        self.words[Head.BUSY] = 0
        return True

    def refund(self, ticket: Ticket, now: int) -> bool:
        """Release the slot at once: only for a call that was provably not sent."""
        if not self.holds(ticket):
            return False
        slot = ticket.slot
        self.words[Head.BUSY] = 1
        self.words[Head.ADMITTED] -= 1
        # Slots that were free longer may have served meanwhile, so this one no longer stands for
        # the oldest call.
        self.put(
            slot, Slot.UNTIL, max(now, self.get(slot, Slot.UNTIL), int(self.words[Head.FORGOTTEN]))
        )
        self.put(slot, Slot.STATE, State.RESTING)
        if self.get(slot, Slot.UNTIL) > now:
            self._cool(slot)  # the window was made longer meanwhile: its last use counts again
        else:
            self._free_or_retire(slot)
        self.words[Head.BUSY] = 0
        return True

    def release_due(self, now: int, most: int) -> None:
        """Move up to `most` slots that have cooled to the free ones.

        Slots are retired instead while there are more than LIMIT.
        """
        words = self.words
        while most > 0 and words[Head.COOL_HEAD] != NIL:
            slot = int(words[Head.COOL_HEAD])
            if self.get(slot, Slot.UNTIL) > now:
                return
            self._resting(slot, now)
            words[Head.BUSY] = 1
            after = self.get(slot, Slot.NEXT)
            words[Head.COOL_HEAD] = after
            if after == NIL:
                words[Head.COOL_TAIL] = NIL
            else:
                self.put(after, Slot.PREV, NIL)
            self._free_or_retire(slot)
            words[Head.BUSY] = 0
            most -= 1

    # -- owners ------------------------------------------------------------------------------------

    def open_tickets(self) -> Iterator[tuple[Ticket, Process]]:
        """Yield every reservation that stands, with its owner."""
        for slot, state in enumerate(self.column(Slot.STATE).tolist()):
            if state == State.OPEN:
                ticket = Ticket(slot, self.get(slot, Slot.SERIAL))
                yield ticket, Process(self.get(slot, Slot.PID), self.get(slot, Slot.START))

    def reap(self, alive: Callable[[Process], bool], clock: Callable[[], int]) -> int:
        """Let the slots of dead owners cool from when their death is seen; return how many."""
        dead = [ticket for ticket, owner in self.open_tickets() if not alive(owner)]
        # The clock is read after the deaths were seen. A call that the dead one had just sent may
        # reach the provider later than that, by LONGEST_CALL at most: the slot cools for as much
        # more.
        until = clock() + int(self.words[Head.WINDOW]) + int(self.words[Head.LONGEST_CALL])
        return sum(self.settle(ticket, until) for ticket in dead)

    def counts(self, now: int) -> Counts:
        """Return the number of slots in each state at `now`; O(limit), for watchdog and people."""
        words = self.words
        states, untils = self.column(Slot.STATE).tolist(), self.column(Slot.UNTIL).tolist()
        resting = [
            until for state, until in zip(states, untils, strict=True) if state == State.RESTING
        ]
        cooling = [until for until in resting if until > now]
        limit, opened = int(words[Head.LIMIT]), states.count(State.OPEN)
        # Above a lowered limit a slot that has cooled is as good as retired.
        free = min(len(resting) - len(cooling), max(0, limit - opened - len(cooling)))
        return Counts(
            limit=limit,
            free=free,
            open=opened,
            cooling=len(cooling),
            retired=len(states) - opened - len(cooling) - free,
            next_free=min(cooling, default=None),
            window_s=round(int(words[Head.WINDOW]) * DRIFT / (DRIFT + 1) / 1e9, 6),
            **{
                name: int(words[Head[name.upper()]])
                for name in ("closed_until", "admitted", "refused")
            },
        )

    def next_free(self, count: int, now: int) -> int | None:
        """Return when (ns) `count` slots may be free at once, not before CLOSED_UNTIL. O(count).

        Returns None when too many slots are open to know.
        """
        words = self.words
        missing = count - int(words[Head.FREE_COUNT])
        if missing <= 0:
            return max(now, int(words[Head.CLOSED_UNTIL]))
        # What a lowered limit retires cools first and serves nobody.
        missing += max(0, self.in_service - int(words[Head.LIMIT]))
        slot = int(words[Head.COOL_HEAD])
        while slot != NIL and missing > 1:
            slot, missing = self.get(slot, Slot.NEXT), missing - 1
        return (
            None if slot == NIL else max(self.get(slot, Slot.UNTIL), int(words[Head.CLOSED_UNTIL]))
        )

    # -- lists -------------------------------------------------------------------------------------

    def _resting(self, slot: int, now: int) -> int:
        """Return `slot`, taken from a list.

        Raises Contradiction when by its own words the slot does not belong there.
        """
        if not 0 <= slot < self.words[Head.CAPACITY]:
            raise Contradiction(
                f"expected a slot of 0 to {self.words[Head.CAPACITY] - 1} in a list, found {slot}"
            )
        if self.get(slot, Slot.STATE) != State.RESTING or self.get(slot, Slot.UNTIL) > now:
            raise Contradiction(
                f"expected slot {slot} to rest, found state {self.get(slot, Slot.STATE)}"
            )
        return slot

    def _free_or_retire(self, slot: int) -> None:
        words = self.words
        if self.in_service > words[Head.LIMIT]:
            self.put(slot, Slot.STATE, State.RETIRED)
            words[Head.RETIRED_COUNT] += 1
            return
        before = int(words[Head.FREE_TAIL])
        self.put(slot, Slot.NEXT, NIL)
        if before == NIL:
            words[Head.FREE_HEAD] = slot
        else:
            self.put(before, Slot.NEXT, slot)
        words[Head.FREE_TAIL] = slot
        words[Head.FREE_COUNT] += 1

    def _cool(self, slot: int) -> None:
        """Enter a resting slot into the cooling list, from the tail.

        Only calls of unknown outcome stand out of order there.
        """
        words, until = self.words, self.get(slot, Slot.UNTIL)
        before = int(words[Head.COOL_TAIL])
        for _ in range(int(words[Head.CAPACITY])):
            if before == NIL or self.get(before, Slot.UNTIL) <= until:
                break
            before = self.get(before, Slot.PREV)
        else:
            raise Contradiction("expected the cooling list to end, found a circle")
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
