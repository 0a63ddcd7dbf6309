"""The mapped file behind its lock: attached when needed, and left for another when it grows, shrinks or is replaced.

The lock is flock's. It belongs to the open file and not, as POSIX locks do, to the process: another open and close of the same
file does not end it, and two users of one ledger within a process exclude each other. A child after a fork opens the file anew.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from warren.quota import store
from warren.quota.layout import MAGIC, MOST, SLOT_WORDS, WORD, Head, Slot, State
from warren.quota.rebuild import rebuild
from warren.quota.slots import Contradiction, Slots
from warren.quota.store import LedgerDamaged
from warren.regular_file import NotRegular, clear_place, open_regular

#: Seconds that a caller waits for the lock, unless it has less. Holders need microseconds; one stopped inside is ended by its
#: supervisor.
PATIENCE = 2.0
#: The same for making, mending or growing a ledger, which waits for the disk.
MAKING_PATIENCE = 15.0


class LedgerBusy(Exception):
    """The lock could not be had in time: nothing was admitted, nothing was changed."""


def now_ns() -> int:
    """Now, in ns of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class MappedFile:
    """One ledger's file in this process. All methods raise LedgerBusy, LedgerDamaged or OSError.

    patience: seconds to wait for the lock at each use; by default PATIENCE.
    """

    def __init__(self, path: Path, patience: float | None = None) -> None:
        self.path = path
        self._patience = PATIENCE if patience is None else patience
        self._inside = False
        self._memory: mmap.mmap | None = None
        self._slots: Slots | None = None
        self._forget()
        _all.add(self)

    @contextmanager
    def locked(self, mend: bool = True) -> Iterator[Slots]:
        """The slots, and nobody else uses them meanwhile. Not `mend`: the caller makes the lists anew."""
        with self._threads:
            if self._inside:  # a signal handler, or code that iterates over the slots
                raise LedgerBusy(f"{self.path}: expected one use at a time, found another one by the same thread")
            try:
                self._inside = True
                slots = self._enter()
                try:
                    # Killed while it changed the lists: they are made anew from the slots, which are always right.
                    if mend and slots.words[Head.BUSY]:
                        rebuild(slots, now_ns())
                    yield slots
                except (Contradiction, IndexError, ValueError) as error:
                    # Nobody may go on with words that somebody else wrote: the next user finds no ledger, and it is made anew.
                    slots.words[Head.MAGIC] = 0
                    raise LedgerDamaged(f"expected words that fit together, found otherwise: {error}") from error
            finally:
                self._inside = False
                if self._fd >= 0:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)

    def grow(self, capacity: int) -> Slots:
        """Room for `capacity` slots, those beyond CAPACITY retired. Under the lock; the Slots of before are invalid."""
        os.posix_fallocate(self._fd, 0, store.size(capacity))
        os.fsync(self._fd)  # else, after a power cut, the header may speak of slots that the file has not
        memory = store.attach(self._fd)
        self._unmap()
        self._memory, self._slots = memory, Slots(memoryview(memory).cast("q"))
        beyond = store.size(int(self._slots.words[Head.CAPACITY]))
        memory[beyond : store.size(capacity)] = bytes(store.size(capacity) - beyond)
        words = self._slots.words
        words[beyond // WORD + Slot.STATE : store.size(capacity) // WORD : SLOT_WORDS] = memoryview(
            array("q", [State.RETIRED]) * (capacity - int(words[Head.CAPACITY]))
        )
        return self._slots

    def sync_header(self) -> None:
        """Makes the header durable; under the lock."""
        if self._memory is not None:
            self._memory.flush(0, min(mmap.PAGESIZE, len(self._memory)))

    def close(self) -> None:
        """Lets go of the file; the next use opens it again."""
        with self._threads:
            if self._inside:
                raise LedgerBusy(f"{self.path}: expected nobody inside at its close, found a use by the same thread")
            self._detach()

    # -- the file --------------------------------------------------------------------------------------------------

    def _enter(self) -> Slots:
        """The lock, and the slots of the file that has the path now."""
        while True:
            slots = self._slots or self._attach()
            if not self._is_open():
                # A task has closed every descriptor; the number may be another file's by now. A lock on that one excludes nobody.
                self._fd = -1
                self._unmap()
                continue
            lock(self._fd, self._patience, self.path)
            there = os.lstat(self.path)  # a link to the same file is no ledger: whoever opens it anew would refuse it
            mapped = len(slots.words) * WORD
            # The size first: to touch a page beyond the end of the file is death.
            if (there.st_dev, there.st_ino) == self._identity and there.st_size >= mapped:
                words = slots.words
                room = (mapped - store.size(0)) // (SLOT_WORDS * WORD)
                # A limit or a window that cannot be would admit nobody for good, or everybody: attached anew, it is damage.
                terms = 0 < words[Head.LIMIT] <= words[Head.CAPACITY] <= room and 0 < words[Head.WINDOW] < MOST
                if terms and words[Head.MAGIC] == MAGIC:
                    return slots
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._detach()

    def _attach(self) -> Slots:
        try:
            fd = open_regular(self.path, os.O_RDWR)
        except NotRegular as error:
            raise LedgerDamaged(f"expected a ledger, found {error.strerror}") from error
        try:
            memory = store.attach(fd)
        except BaseException:
            os.close(fd)
            raise
        status = os.fstat(fd)
        self._fd, self._memory, self._identity = fd, memory, (status.st_dev, status.st_ino)
        self._slots = Slots(memoryview(memory).cast("q"))
        return self._slots

    def _is_open(self) -> bool:
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _detach(self) -> None:
        self._unmap()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _unmap(self) -> None:
        memory, slots, self._memory, self._slots = self._memory, self._slots, None, None
        with suppress(BufferError):  # another thread of the parent was at work while it forked: the memory stays mapped
            if slots is not None:
                slots.words.release()
            if memory is not None:
                memory.close()

    def _forget(self) -> None:
        self._threads = threading.RLock()
        self._inside = False
        self._fd = -1
        self._identity = (-1, -1)
        self._memory, self._slots = None, None


_all: WeakSet[MappedFile] = WeakSet()


def _after_fork() -> None:
    """A child shares its parent's open files and so their locks: it could end them, or keep them after the parent's death."""
    for file in list(_all):
        file._detach()
        file._forget()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def making(path: Path) -> Iterator[int]:
    """One process at a time makes, mends or grows the ledger at `path`; gives a file that remembers whether there was one."""
    memo = path.with_name(f".{path.name}.making")
    lost = False
    with suppress(FileNotFoundError):
        if lost := not stat.S_ISREG(memo.lstat().st_mode):
            clear_place(memo)  # a link would be followed, and in a fifo nothing is kept; whoever obeys this has no lock on it
    fd = os.open(memo, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    try:
        lock(fd, MAKING_PATIENCE, path)
        if lost:
            os.pwrite(fd, b"made\n", 0)  # what it remembered is unknown: there was a ledger, and its slots count as used
        yield fd
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)  # not left to the close: a child that is being forked has the file open, too
        os.close(fd)


def lock(fd: int, patience: float, path: Path) -> None:
    """Takes the lock of `fd`, which ends with its holder. Raises LedgerBusy after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LedgerBusy(f"{path}: its lock was held for more than {patience:g} s; is a process stopped?") from None
        time.sleep(0.0005)
