"""The ledger of one quota on this host: its slots in a mapped file, behind a lock.

The mapped file survives `kill -9` of all processes. The lock is the kernel's and ends with its
holder. The clock is CLOCK_BOOTTIME: it runs while the machine sleeps, and no step of the wall clock
moves it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warren.quotas import high_water, ledger_file
from warren.quotas.headers import LONGEST_PAUSE
from warren.quotas.layout import DRIFT, Head
from warren.quotas.ledger_file import LedgerDamaged
from warren.quotas.mapped_file import LedgerBusy as LedgerBusy
from warren.quotas.mapped_file import MappedFile, making
from warren.quotas.mapped_file import now_ns as now_ns
from warren.quotas.reboot import take_over
from warren.quotas.rebuild import rebuild
from warren.quotas.slot_counts import Counts
from warren.quotas.slots import Slots
from warren.quotas.ticket import Ticket
from warren.quotas.window_change import retime
from warren.system.process import Process

NS = 1_000_000_000
#: The errors of a ledger. After any of these errors nothing may be admitted.
LEDGER_ERRORS = (LedgerBusy, LedgerDamaged, OSError)
#: The most cooled slots that `release_cooled` releases at once, so that no process waits long for
#: the lock.
BATCH = 10_000


@dataclass(frozen=True)
class Opened:
    """What `configure` found and did.

    damage: what was wrong with the old file. aside: where the damaged file was moved; None: there
    was no file. older: the ledger had later settings than these, and keeps its own.
    """

    created: bool = False
    damage: str = ""
    aside: Path | None = None
    taken_over: bool = False
    changed: bool = False
    older: bool = False


class Ledger:
    """The slots of one quota, shared by every process of the host. All methods raise LEDGER_ERRORS.

    timeout: seconds to wait for the lock before LedgerBusy; by default `mapped_file.TIMEOUT`.
    """

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        self.path = path
        self._file = MappedFile(path, timeout)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()

    # -- calls -------------------------------------------------------------------------------------

    def reserve(self, count: int, owner: Process) -> tuple[Ticket, ...] | None:
        """Open `count` slots for `owner`, all or none; return None when fewer are available."""
        with self._file.locked() as slots:
            now = now_ns()
            if not slots.available(count, now):
                slots.words[Head.REFUSED] += 1
                return None
            high_water.raise_for(slots, count, self._file.sync_header)
            return tuple(slots.reserve(owner, now) for _ in range(count))

    def claim(self, tickets: Sequence[Ticket], owner: Process) -> bool:
        """Make `owner` the process that may call with these tickets.

        Returns False when a ticket no longer holds its slot: then the process must not make the
        call.
        """
        with self._file.locked() as slots:
            return all(slots.claim(ticket, owner) for ticket in tickets)

    def settle(self, tickets: Sequence[Ticket], *, answered: bool) -> int:
        """Let the slots of the tickets cool; return how many tickets still held their slot.

        answered: the provider has answered. Otherwise the call may still be on its way to the
        provider, and the slots cool for LONGEST_CALL more.
        """
        with self._file.locked() as slots:
            until = now_ns() + int(slots.words[Head.WINDOW])
            if not answered:
                until += int(slots.words[Head.LONGEST_CALL])
            return sum(slots.settle(ticket, until) for ticket in tickets)

    def refund(self, tickets: Sequence[Ticket]) -> int:
        """Release the slots of the tickets at once: only for calls that were provably not sent."""
        with self._file.locked() as slots:
            now = now_ns()
            return sum(slots.refund(ticket, now) for ticket in tickets)

    def reclaim(self, tickets: Sequence[Ticket], owner: Process) -> int:
        """Release at once those slots that `owner` still has; return how many.

        A slot that no process has claimed from `owner` made no call, and will make none: a later
        claim is refused.
        """
        with self._file.locked() as slots:
            now = now_ns()
            return sum(
                slots.refund(ticket, now) for ticket in tickets if slots.owner(ticket) == owner
            )

    def close_for(self, seconds: float) -> bool:
        """Admit nothing for `seconds`, LONGEST_PAUSE at most: the provider has asked for this
        pause.

        Never shortens an earlier pause. Returns False when the quota was already closed for as
        long, give or take a second.
        """
        pause = int(min(seconds, LONGEST_PAUSE) * NS)
        with self._file.locked() as slots:
            words, until = slots.words, now_ns() + pause
            more = until - int(words[Head.CLOSED_UNTIL])
            if more <= 0:
                return False
            # The order matters: after a kill between these stores, a later boot knows of a longer
            # pause rather than of a shorter one.
            words[Head.PAUSED_AT] = time.time_ns()
            words[Head.PAUSED_FOR] = pause
            words[Head.CLOSED_UNTIL] = until
            # In a row of refusals each one makes the same pause a little longer. Not every such
            # step is worth a write to the disk.
            longer = more > NS
            if longer:
                self._file.sync_header()
            return longer

    def wait_s(self, count: int = 1) -> float | None:
        """Return the seconds until `count` slots may be free at once; 0.0 when they are free now.

        Returns None when this cannot be known because too many slots are open.
        """
        with self._file.locked() as slots:
            now = now_ns()
            free = slots.next_free(count, now)
            return None if free is None else max(0.0, (free - now) / NS)

    def abandon(self, owner: Process) -> int:
        """Let every slot of `owner` cool as if the process were dead; return how many.

        The process must not be about to call with any of them.
        """
        with self._file.locked() as slots:
            return slots.reap(lambda other: other != owner, now_ns)

    # -- the watchdog and people -------------------------------------------------------------------

    def reap(self) -> int:
        """Let the slots of dead owners cool; return the number of these slots."""
        known: dict[Process, bool] = {}
        with self._file.locked() as slots:
            return slots.reap(lambda owner: known.setdefault(owner, owner.alive), now_ns)

    def release_cooled(self) -> None:
        """Release cooled slots, and lower HIGH_WATER to the number of slots in use.

        The lowered mark is not synced: the disk may still hold the higher mark for some time.
        """
        with self._file.locked() as slots:
            slots.release_due(now_ns(), BATCH)
            high_water.lower(slots)

    def counts(self) -> Counts:
        """Return how many slots are free, open, cooling and retired now."""
        with self._file.locked() as slots:
            return slots.counts(now_ns())

    def stands(self, limit: int, window_s: float, longest_call_s: float, generation: int) -> bool:
        """Return whether the ledger has these settings of this generation, or later settings."""
        with self._file.locked() as slots:
            kept = int(slots.words[Head.GENERATION])
            return kept > generation or (
                kept == generation and _limits(slots) == (limit, *_in_ns(window_s, longest_call_s))
            )

    def configure(
        self, limit: int, window_s: float, longest_call_s: float, generation: int | None = None
    ) -> Opened:
        """Make the ledger match the settings, whatever is there now.

        Before this call there may be no ledger, a damaged ledger, a ledger of an earlier boot, or a
        ledger with another limit.

        limit: slots, 1 or more. window_s: seconds that a slot cools. longest_call_s: seconds for
        which a call of unknown outcome may still be under way. generation: the number of these
        settings; None: keep the ledger's generation.
        """
        window, longest = _in_ns(window_s, longest_call_s)
        # When the path of the directory holds anything else, that is an error, and nothing is moved
        # away. The former ledgers would be unknown, and new ledgers would admit calls as if no call
        # had been made.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with making(self.path) as memo:
            found = self._open_or_create(memo, limit, window, longest)
            with self._file.locked(repair=False) as slots:
                kept = int(slots.words[Head.GENERATION])
                # A process that has read the files before an edit may arrive here after the edit,
                # however long it was stopped on its way.
                older = generation is not None and generation < kept
                if older:
                    limit, window, longest = _limits(slots)
                taken_over = take_over(slots, window, longest, now_ns(), time.time_ns())
                changed = self._apply(slots, limit, window, longest, max(kept, generation or 0))
        return Opened(
            found.created,
            found.damage,
            found.aside,
            taken_over,
            changed and not found.created,
            older,
        )

    # -- settings ----------------------------------------------------------------------------------

    def _open_or_create(self, memo: int, limit: int, window: int, longest: int) -> Opened:
        aside = None
        try:
            with self._file.locked(repair=False) as slots:
                now = now_ns()
                cooling = max(window, int(slots.words[Head.WINDOW])) + max(
                    longest, int(slots.words[Head.LONGEST_CALL])
                )
                ledger_file.examine(slots, now + cooling, now + int(LONGEST_PAUSE * NS))
            return Opened()
        except FileNotFoundError:
            damage = (
                "expected the ledger that was made here before, found none"
                if os.fstat(memo).st_size
                else ""
            )
        except LedgerDamaged as problem:
            damage = str(problem)
            aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
            ledger_file.invalidate(self.path)
        os.pwrite(memo, b"made\n", 0)
        # The calls on the lost ledger are unknown, so they all count: every slot cools as if a call
        # had just ended. The clock is read only after the loss was made known: until then other
        # processes may have admitted calls on the lost ledger.
        ledger_file.create(
            self.path, limit, window, longest, now_ns() + window + longest if damage else 0, aside
        )
        return Opened(True, damage, aside)

    def _apply(self, slots: Slots, limit: int, window: int, longest: int, generation: int) -> bool:
        before = _limits(slots)
        if limit > slots.words[Head.CAPACITY]:
            # This comes first: when it fails on a full disk, nothing has changed.
            slots = self._file.grow(limit)
            slots.words[Head.BUSY] = 1  # makes the next rebuild count RETIRED_COUNT again
            slots.words[Head.CAPACITY] = limit
        now = now_ns()
        # The generation is stored before the limit and the window. When the process is killed in
        # between, older settings change nothing, and these settings find a limit and a window that
        # differ from theirs.
        slots.words[Head.GENERATION] = generation
        retime(slots, window, longest, now)
        slots.words[Head.LIMIT] = limit
        rebuild(slots, now)
        return before != (limit, window, longest)


def _limits(slots: Slots) -> tuple[int, int, int]:
    """Return the limit (slots), the time that a slot cools (ns), and the longest call (ns)."""
    words = slots.words
    return int(words[Head.LIMIT]), int(words[Head.WINDOW]), int(words[Head.LONGEST_CALL])


def _in_ns(window_s: float, longest_call_s: float) -> tuple[int, int]:
    """Return the time that a slot cools (ns), and the longest call (ns)."""
    window = int(window_s * NS)
    return window + window // DRIFT, int(longest_call_s * NS)
