"""The ledger of one quota on this host: its slots in a mapped file, behind a lock.

What is in the mapped file survives `kill -9` of everybody. The lock is the kernel's and ends with its holder. The clock is
CLOCK_BOOTTIME: it goes on while the machine sleeps, and no step of the wall clock moves it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warren.process import Process
from warren.quota import store
from warren.quota.headers import LONGEST_PAUSE
from warren.quota.layout import DRIFT, Head
from warren.quota.mapped import LedgerBusy as LedgerBusy
from warren.quota.mapped import MappedFile, making
from warren.quota.mapped import now_ns as now_ns
from warren.quota.rebuild import rebuild
from warren.quota.slots import Counts, Slots, Ticket
from warren.quota.store import LedgerDamaged
from warren.quota.terms import retime, take_over

NS = 1_000_000_000
#: What a ledger may answer instead of an answer: each means that nothing may be admitted now.
LEDGER_ERRORS = (LedgerBusy, LedgerDamaged, OSError)
#: Slots that `relax` brings in at most, so that nobody waits long for the lock.
BATCH = 10_000


@dataclass(frozen=True)
class Opened:
    """What `configure` found: `damage` says what was wrong with a file that was set aside, as `aside` (None: it was gone).

    `older`: the ledger has terms of later settings, and keeps them.
    """

    created: bool = False
    damage: str = ""
    aside: Path | None = None
    taken_over: bool = False
    changed: bool = False
    older: bool = False


class Ledger:
    """One quota's slots, shared by every process of the host. All methods raise LEDGER_ERRORS.

    patience: seconds to wait for the lock before LedgerBusy; by default `mapped.PATIENCE`.
    """

    def __init__(self, path: Path, patience: float | None = None) -> None:
        self.path = path
        self._file = MappedFile(path, patience)

    def close(self) -> None:
        """Lets go of the file; the next use opens it again."""
        self._file.close()

    # -- calls -----------------------------------------------------------------------------------------------------

    def reserve(self, count: int, owner: Process) -> tuple[Ticket, ...] | None:
        """Opens `count` slots for `owner`, all or none; None when there are not as many."""
        with self._file.locked() as slots:
            now = now_ns()
            if not slots.available(count, now):
                slots.words[Head.REFUSED] += 1
                return None
            self._raise_high_water(slots, count)
            return tuple(slots.reserve(owner, now) for _ in range(count))

    def claim(self, tickets: Sequence[Ticket], owner: Process) -> bool:
        """Makes `owner` the one who may call; False (and nothing may be called) when a ticket no longer stands."""
        with self._file.locked() as slots:
            return all(slots.claim(ticket, owner) for ticket in tickets)

    def settle(self, tickets: Sequence[Ticket], *, answered: bool) -> int:
        """Lets the tickets' slots cool, and says how many still stood.

        Not `answered` means that a call may still be on its way to the provider: then the slots cool for LONGEST_CALL more.
        """
        with self._file.locked() as slots:
            until = now_ns() + int(slots.words[Head.WINDOW])
            if not answered:
                until += int(slots.words[Head.LONGEST_CALL])
            return sum(slots.settle(ticket, until) for ticket in tickets)

    def refund(self, tickets: Sequence[Ticket]) -> int:
        """Gives the tickets' slots back at once: only for calls that were provably not sent."""
        with self._file.locked() as slots:
            now = now_ns()
            return sum(slots.refund(ticket, now) for ticket in tickets)

    def take_back(self, tickets: Sequence[Ticket], owner: Process) -> int:
        """Gives back at once those slots that `owner` still has; says how many.

        What nobody has claimed from `owner` was not sent, and will not be: a later claim is refused.
        """
        with self._file.locked() as slots:
            now = now_ns()
            return sum(slots.refund(ticket, now) for ticket in tickets if slots.owner(ticket) == owner)

    def close_for(self, seconds: float) -> bool:
        """Admits nothing for so long (the provider said so), LONGEST_PAUSE at most; never shortens an earlier pause.

        False when the quota was closed for as long already, give or take a second.
        """
        pause = int(min(seconds, LONGEST_PAUSE) * NS)
        with self._file.locked() as slots:
            words, until = slots.words, now_ns() + pause
            more = until - int(words[Head.CLOSED_UNTIL])
            if more <= 0:
                return False
            # In this order: killed in between, a later boot knows of a longer pause rather than of a shorter one.
            words[Head.PAUSED_AT] = time.time_ns()
            words[Head.PAUSED_FOR] = pause
            words[Head.CLOSED_UNTIL] = until
            longer = more > NS  # a row of refusals makes the same pause a little longer each time: the disk need not know at once
            if longer:
                self._file.sync_header()
            return longer

    def wait_s(self, count: int = 1) -> float | None:
        """Seconds until `count` slots may be free at once, 0.0 when they are; None when too many are open to know."""
        with self._file.locked() as slots:
            now = now_ns()
            free = slots.next_free(count, now)
            return None if free is None else max(0.0, (free - now) / NS)

    def renounce(self, owner: Process) -> int:
        """Lets every slot of `owner` cool as if it were dead; says how many. It must not be about to call with any of them."""
        with self._file.locked() as slots:
            return slots.reap(lambda other: other != owner, now_ns)

    # -- the watchdog and people -----------------------------------------------------------------------------------

    def reap(self) -> int:
        """Lets the slots of dead owners cool; says how many they were."""
        known: dict[Process, bool] = {}
        with self._file.locked() as slots:
            return slots.reap(lambda owner: known.setdefault(owner, owner.alive), now_ns)

    def relax(self) -> None:
        """Brings in what has cooled and lowers HIGH_WATER to what is in use: the disk may hold the higher mark for longer."""
        with self._file.locked() as slots:
            slots.thaw(now_ns(), BATCH)
            lower = _in_use(slots) + _block(slots)
            for mark in (Head.DURABLE, Head.HIGH_WATER):  # in this order: DURABLE is never the higher one
                slots.words[mark] = min(lower, slots.words[mark])

    def counts(self) -> Counts:
        """Where the slots are now."""
        with self._file.locked() as slots:
            return slots.counts(now_ns())

    def stands(self, limit: int, window_s: float, longest_call_s: float, generation: int) -> bool:
        """Whether the ledger has these terms of these settings, or those of later ones."""
        with self._file.locked() as slots:
            kept = int(slots.words[Head.GENERATION])
            return kept > generation or (kept == generation and _terms(slots) == (limit, *_in_ns(window_s, longest_call_s)))

    def configure(self, limit: int, window_s: float, longest_call_s: float, generation: int | None = None) -> Opened:
        """Makes the ledger what the settings say, whatever is there: nothing, damage, an earlier boot, another limit.

        limit: slots, 1 or more. window_s: seconds a slot cools. longest_call_s: seconds a lost call may still be under way.
        generation: of the settings that say so; None: of those that the ledger has.
        """
        window, longest = _in_ns(window_s, longest_call_s)
        # Something else in its place is an error, and not set aside: nobody would know which ledgers there were, and
        # those made anew would admit calls as if none had been made.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with making(self.path) as memo:
            found = self._open_or_create(memo, limit, window, longest)
            with self._file.locked(mend=False) as slots:
                kept = int(slots.words[Head.GENERATION])
                # Who has read the files before an edit may come here after it, however long it was stopped on its way.
                older = generation is not None and generation < kept
                if older:
                    limit, window, longest = _terms(slots)
                taken_over = take_over(slots, window, longest, now_ns(), time.time_ns())
                changed = self._apply(slots, limit, window, longest, max(kept, generation or 0))
        return Opened(found.created, found.damage, found.aside, taken_over, changed and not found.created, older)

    # -- terms -----------------------------------------------------------------------------------------------------

    def _open_or_create(self, memo: int, limit: int, window: int, longest: int) -> Opened:
        aside = None
        try:
            with self._file.locked(mend=False) as slots:
                now = now_ns()
                terms = max(window, int(slots.words[Head.WINDOW])) + max(longest, int(slots.words[Head.LONGEST_CALL]))
                store.examine(slots, now + terms, now + int(LONGEST_PAUSE * NS))
            return Opened()
        except FileNotFoundError:
            damage = "expected the ledger that was made here before, found none" if os.fstat(memo).st_size else ""
        except LedgerDamaged as problem:
            damage = str(problem)
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            store.disown(self.path)
        os.pwrite(memo, b"made\n", 0)
        # What the lost one knew is unknown now, so it counts as used: every slot cools as if it had just been called. The clock
        # is read after the loss was made known: until then others may have admitted calls on it.
        store.create(self.path, limit, window, longest, now_ns() + window + longest if damage else 0, aside)
        return Opened(True, damage, aside)

    def _apply(self, slots: Slots, limit: int, window: int, longest: int, generation: int) -> bool:
        before = _terms(slots)
        if limit > slots.words[Head.CAPACITY]:
            slots = self._file.grow(limit)  # first of all: on a full disk nothing has changed
            slots.words[Head.BUSY] = 1  # so that RETIRED_COUNT is counted anew
            slots.words[Head.CAPACITY] = limit
        now = now_ns()
        # Before the terms: killed in between, older settings change nothing, and these find terms that are not theirs.
        slots.words[Head.GENERATION] = generation
        retime(slots, window, longest, now)
        slots.words[Head.LIMIT] = limit
        rebuild(slots, now)
        return before != (limit, window, longest)

    def _raise_high_water(self, slots: Slots, count: int) -> None:
        words, needed = slots.words, _in_use(slots) + count
        if needed <= words[Head.DURABLE]:
            return
        words[Head.HIGH_WATER] = max(words[Head.HIGH_WATER], min(needed + _block(slots), words[Head.CAPACITY]))
        # On disk before the slots are handed out: after a power cut the mark is never below what was in use.
        self._file.sync_header()
        words[Head.DURABLE] = words[Head.HIGH_WATER]


def _terms(slots: Slots) -> tuple[int, int, int]:
    """The limit, how long a slot cools, and how long a lost call may be under way (ns)."""
    words = slots.words
    return int(words[Head.LIMIT]), int(words[Head.WINDOW]), int(words[Head.LONGEST_CALL])


def _in_ns(window_s: float, longest_call_s: float) -> tuple[int, int]:
    """How long a slot cools, and how long a lost call may be under way."""
    window = int(window_s * NS)
    return window + window // DRIFT, int(longest_call_s * NS)


def _in_use(slots: Slots) -> int:
    """Slots in service that are not free, those counted that have cooled but were not brought in yet."""
    return slots.in_service - int(slots.words[Head.FREE_COUNT])


def _block(slots: Slots) -> int:
    """How far ahead HIGH_WATER is written: a sixteenth of the limit, so that a full window costs some sixteen syncs."""
    return max(1, int(slots.words[Head.LIMIT]) // 16)
