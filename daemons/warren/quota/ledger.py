"""The ledger of one quota on this host: its slots in a mapped file, behind a lock.

What is in the mapped file survives `kill -9` of everybody. The lock is the kernel's and ends with its holder. The clock is
CLOCK_BOOTTIME: it goes on while the machine sleeps, and no step of the wall clock moves it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from warren.process import Process
from warren.quota import store
from warren.quota.layout import MAGIC, Head, Slot, State
from warren.quota.slots import Counts, Slots, Ticket
from warren.quota.store import LedgerDamaged

NS = 1_000_000_000
#: Seconds that a caller waits for the lock. Holders need microseconds; one stopped inside is ended by its supervisor.
PATIENCE = 2.0


class LedgerBusy(Exception):
    """The lock could not be had within PATIENCE: nothing was admitted, nothing was changed."""


@dataclass(frozen=True)
class Opened:
    """What `configure` found: `damage` says what was wrong with a file that was set aside, as `aside`."""

    created: bool = False
    damage: str = ""
    aside: Path | None = None
    taken_over: bool = False
    changed: bool = False


def now_ns() -> int:
    """Now, in ns of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Ledger:
    """One quota's slots, shared by every process of the host. All methods raise LedgerBusy, LedgerDamaged or OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._memory: mmap.mmap | None = None
        self._threads = threading.RLock()
        self._pid = os.getpid()

    # -- calls -----------------------------------------------------------------------------------------------------

    def reserve(self, count: int, owner: Process) -> tuple[Ticket, ...] | None:
        """Opens `count` slots for `owner`, all or none; None when there are not as many."""
        with self._locked() as slots:
            now = now_ns()
            if not slots.available(count, now):
                slots.words[Head.REFUSED] += 1
                return None
            self._raise_high_water(slots, count)
            return tuple(slots.reserve(owner, now) for _ in range(count))

    def claim(self, tickets: Sequence[Ticket], owner: Process) -> bool:
        """Makes `owner` the one who may call; False (and nothing may be called) when a ticket no longer stands."""
        with self._locked() as slots:
            return all(slots.claim(ticket, owner) for ticket in tickets)

    def settle(self, tickets: Sequence[Ticket], *, answered: bool) -> int:
        """Lets the tickets' slots cool, and says how many still stood.

        Not `answered` means that a call may still be on its way to the provider: then the slots cool for LONGEST_CALL more.
        """
        with self._locked() as slots:
            until = now_ns() + int(slots.words[Head.WINDOW])
            if not answered:
                until += int(slots.words[Head.LONGEST_CALL])
            return sum(slots.settle(ticket, until) for ticket in tickets)

    def refund(self, tickets: Sequence[Ticket]) -> int:
        """Frees the tickets' slots at once: only for calls that were provably not sent."""
        with self._locked() as slots:
            return sum(slots.refund(ticket) for ticket in tickets)

    def close_for(self, seconds: float) -> None:
        """Admits nothing for so long (the provider said so); never shortens an earlier pause."""
        with self._locked() as slots:
            until = now_ns() + int(seconds * NS)
            slots.words[Head.CLOSED_UNTIL] = max(until, slots.words[Head.CLOSED_UNTIL])

    def wait_s(self) -> float | None:
        """Seconds until a slot may be free, 0.0 when one is; None when all are open and nobody can know."""
        with self._locked() as slots:
            now = now_ns()
            free = slots.next_free(now)
            return None if free is None else max(0.0, (free - now) / NS)

    # -- the watchdog and people -----------------------------------------------------------------------------------

    def reap(self) -> int:
        """Lets the slots of dead owners cool; says how many they were."""
        known: dict[Process, bool] = {}
        with self._locked() as slots:
            return slots.reap(lambda owner: known.setdefault(owner, owner.alive), now_ns)

    def relax(self) -> None:
        """Brings in what has cooled and lowers HIGH_WATER to what is in use: the disk may hold the higher mark for longer."""
        with self._locked() as slots:
            slots.thaw(now_ns(), int(slots.words[Head.CAPACITY]))
            lower = _in_use(slots) + _block(slots)
            slots.words[Head.HIGH_WATER] = min(lower, slots.words[Head.HIGH_WATER])

    def counts(self) -> Counts:
        """Where the slots are now."""
        with self._locked() as slots:
            return slots.counts(now_ns())

    def configure(self, limit: int, window_s: float, longest_call_s: float) -> Opened:
        """Makes the ledger what the settings say, whatever is there: nothing, damage, an earlier boot, another limit.

        limit: slots, 1 or more. window_s: seconds a slot cools. longest_call_s: seconds a lost call may still be under way.
        """
        window, longest = int(window_s * NS), int(longest_call_s * NS)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _making(self.path):
            found = self._open_or_create(limit, window, longest)
            with self._locked(rebuild=False) as slots:
                taken_over = store.take_over(slots, now_ns())
                changed = self._apply(slots, limit, window, longest)
        return Opened(found.created, found.damage, found.aside, taken_over, changed and not found.created)

    # -- the file --------------------------------------------------------------------------------------------------

    def _open_or_create(self, limit: int, window: int, longest: int) -> Opened:
        try:
            with self._locked(rebuild=False) as slots:
                # Nothing cools for longer than this: a later time was not written by Warren.
                terms = max(window, int(slots.words[Head.WINDOW])) + max(longest, int(slots.words[Head.LONGEST_CALL]))
                store.examine(slots, now_ns() + terms)
            return Opened()
        except FileNotFoundError:
            store.create(self.path, limit, window, longest)
            return Opened(created=True)
        except LedgerDamaged as damage:
            aside = store.set_aside(self.path, time.time_ns())
            self._disown()
            # What the damaged file knew is unknown now, so it counts as used: every slot cools as if it had just been called.
            store.create(self.path, limit, window, longest, now_ns() + window + longest)
            return Opened(created=True, damage=str(damage), aside=aside)

    def _apply(self, slots: Slots, limit: int, window: int, longest: int) -> bool:
        words = slots.words
        terms = (int(words[Head.LIMIT]), int(words[Head.WINDOW]), int(words[Head.LONGEST_CALL]))
        if terms == (limit, window, longest) and not words[Head.BUSY]:
            return False
        words[Head.BUSY] = 1
        if terms[1] and window > terms[1]:
            # A longer window counts calls further back. Killed on the way this is done again: the slots then cool too long, never
            # too short. A shorter window leaves what cools as it is, for the same reason.
            for slot in range(int(words[Head.CAPACITY])):
                until = slots.get(slot, Slot.UNTIL)
                if until and slots.get(slot, Slot.STATE) != State.OPEN:
                    slots.put(slot, Slot.UNTIL, until + window - terms[1])
        if limit > words[Head.CAPACITY]:
            os.posix_fallocate(self._fd, 0, store.size(limit))  # new slots are zero: resting and never used
            words[Head.CAPACITY] = limit
        words[Head.LIMIT], words[Head.WINDOW], words[Head.LONGEST_CALL] = limit, window, longest
        slots = self._map()  # the mapping of before may end in the middle of the new slots
        slots.rebuild(now_ns())
        return True

    def _disown(self) -> None:
        """Tells everybody who has the damaged file mapped that it is no ledger any more."""
        with open(self.path, "r+b") as file:
            file.write(bytes(8))
        self._unmap()

    @contextmanager
    def _locked(self, rebuild: bool = True) -> Iterator[Slots]:
        if self._pid != os.getpid():  # after a fork: another thread of the parent may have held this lock
            self._threads, self._pid = threading.RLock(), os.getpid()
        with self._threads:
            if self._memory is None:
                self._attach()
            self._lock()
            try:
                slots = self._current()
                # Killed while it changed the lists: they are made anew from the slots, which are always right.
                if rebuild and slots.words[Head.BUSY]:
                    slots.rebuild(now_ns())
                yield slots
            finally:
                if self._fd >= 0:
                    fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _attach(self) -> None:
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._memory = store.attach(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._slots = Slots(memoryview(self._memory).cast("q"))

    def _map(self) -> Slots:
        """Maps the file again: it has grown."""
        memory = store.attach(self._fd)
        self._slots.words.release()
        if self._memory is not None:
            self._memory.close()
        self._memory, self._slots = memory, Slots(memoryview(memory).cast("q"))
        return self._slots

    def _unmap(self) -> None:
        if self._memory is not None:
            self._slots.words.release()
            self._memory.close()
            os.close(self._fd)
            self._memory, self._fd = None, -1

    def _current(self) -> Slots:
        """The slots under the lock: mapped again when another process made the file longer or put a new one in its place."""
        words = self._slots.words
        if words[Head.MAGIC] != MAGIC:
            self._unmap()
            self._attach()
            self._lock()
            words = self._slots.words
        if store.size(int(words[Head.CAPACITY])) > len(words) * words.itemsize:
            return self._map()
        return self._slots

    def _lock(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            if time.monotonic() > deadline:
                raise LedgerBusy(f"{self.path}: expected its lock within {PATIENCE:g} s, found it held; is a process stopped?")
            time.sleep(0.0005)

    def _raise_high_water(self, slots: Slots, count: int) -> None:
        words = slots.words
        if _in_use(slots) + count <= words[Head.HIGH_WATER]:
            return
        words[Head.HIGH_WATER] = min(_in_use(slots) + count + _block(slots), words[Head.CAPACITY])
        if self._memory is not None:
            # On disk before the slots are handed out: after a power cut the mark is never below what was in use.
            self._memory.flush(0, min(mmap.PAGESIZE, len(self._memory)))


def _in_use(slots: Slots) -> int:
    """Slots in service that are not free, those counted that have cooled but were not brought in yet."""
    words = slots.words
    return int(words[Head.CAPACITY] - words[Head.RETIRED_COUNT] - words[Head.FREE_COUNT])


def _block(slots: Slots) -> int:
    """How far ahead HIGH_WATER is written: a sixteenth of the limit, so that a full window costs some sixteen syncs."""
    return max(1, int(slots.words[Head.LIMIT]) // 16)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """One process at a time makes, replaces or grows the ledger; the lock ends with its holder."""
    fd = os.open(path.with_name(f".{path.name}.making"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
