"""Random histories of one quota whose limits are edited, and a checker of its calls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from support.slots import ME, make, set_limits
from warren.quotas.layout import Head
from warren.quotas.ledger_file import boot_word
from warren.quotas.reboot import take_over
from warren.quotas.ticket import Ticket

LIMITS = (1, 2, 3, 5, 8, 12)
WINDOWS = (20, 50, 100, 300, 1000)
LONGEST_CALLS = (1, 10, 40)


@dataclass
class Excess:
    """A call that was admitted beyond the limit.

    The provider may have counted as many as the limit already.
    """

    now: int
    limit: int
    window: int
    counted: int


@dataclass
class History:
    """One quota, its calls, and what was admitted beyond the terms of the moment.

    Times in ticks.
    """

    seed: int
    excess: list[Excess] = field(default_factory=list)
    admitted: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.limit, self.window, self.longest = self._terms()
        self.slots = make(self.limit, most=max(LIMITS))
        self.now = 1000
        set_limits(self.slots, self.limit, self.window, self.longest, self.now)
        self.open: list[Ticket] = []
        self.over: list[tuple[int, bool]] = []  # when each call ended, and whether it was lost

    def _terms(self) -> tuple[int, int, int]:
        choice = self.chance.choice
        return choice(LIMITS), choice(WINDOWS), choice(LONGEST_CALLS)

    def play(self, edits: int) -> History:
        """Plays phases of calls with an edit of the terms between any two."""
        for _ in range(edits):
            self._phase()
            self._edit()
        self._phase()
        return self

    def _edit(self) -> None:
        kept, new = (self.limit, self.window, self.longest), self._terms()
        self.limit, self.window, self.longest = (
            self.chance.choice(pair) for pair in zip(kept, new, strict=True)
        )
        if self.chance.random() < 0.1:
            self._boot()
        set_limits(self.slots, self.limit, self.window, self.longest, self.now)

    def _boot(self) -> None:
        """Another boot comes upon the terms of before it, and upon those of the settings."""
        self.over += [(self.now, True) for _ in self.open]
        self.open.clear()
        self.slots.words[Head.BOOT] = boot_word() + 1
        assert take_over(self.slots, self.window, self.longest, self.now, self.now)

    def _phase(self) -> None:
        """Run callers, as greedy as this phase has them, for some windows.

        Some of their calls last, are refunded or are lost.
        """
        step = max(1, self.window // self.chance.choice((3, 7, 20)))
        end = self.now + int(self.window * self.chance.choice((0.1, 0.7, 1.2, 3, 6)))
        greed, lasting, refunded, lost = (
            self.chance.choice(odds)
            for odds in ((0, 0.3, 1, 1), (0, 0, 0.5), (0, 0, 0.3), (0, 0, 0.2))
        )
        while self.now < end:
            for _ in range(self.limit if self.chance.random() < greed else 0):
                self._call()
            for ticket in [ticket for ticket in self.open if self.chance.random() >= lasting]:
                self._end(ticket, self.chance.random(), refunded, lost)
            self.now += self.chance.randint(1, step)

    def _call(self) -> None:
        # A lost call may reach the provider so much later; what the terms of the moment say of that
        # counts.
        counted = len(self.open) + sum(
            end + self.window + (self.longest if lost else 0) > self.now for end, lost in self.over
        )
        if not self.slots.available(1, self.now):
            return
        if counted + 1 > self.limit:
            self.excess.append(Excess(self.now, self.limit, self.window, counted))
        words = self.slots.words
        words[Head.HIGH_WATER] = max(
            words[Head.HIGH_WATER], self.slots.in_service - words[Head.FREE_COUNT] + 1
        )
        self.open.append(self.slots.reserve(ME, self.now))
        self.admitted += 1

    def _end(self, ticket: Ticket, drawn: float, refunded: float, lost: float) -> None:
        self.open.remove(ticket)
        if drawn < refunded:
            assert self.slots.refund(ticket, self.now)
            return
        is_lost = drawn < refunded + lost
        assert self.slots.settle(ticket, self.now + self.window + (self.longest if is_lost else 0))
        self.over.append((self.now, is_lost))
        oldest = self.now - max(WINDOWS) - max(LONGEST_CALLS)
        self.over = [call for call in self.over if call[0] > oldest]
