"""The mapped file of a ledger, behind its lock.

The file is attached when needed, and left for another one when it grows, shrinks or is replaced.

The lock is flock's. It belongs to the open file and not, as POSIX locks do, to the process: another
open and close of the same file does not end it, and two users of one ledger within a process
exclude each other. A child after a fork opens the file again.
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

from warren.quotas import ledger_file
from warren.quotas.layout import MAGIC, MOST, SLOT_WORDS, WORD, Head, Slot, State
from warren.quotas.ledger_file import LedgerDamaged
from warren.quotas.rebuild import rebuild
from warren.quotas.slots import Contradiction, Slots
from warren.system.regular_file import NotRegular, clear_path, open_regular

#: Seconds that a caller waits for the lock, unless it sets a shorter timeout. Holders need
#: microseconds. A holder that is stopped inside is ended by its supervisor.
TIMEOUT = 2.0
#: Seconds to wait for the lock of creating, repairing or growing a ledger, which waits for the
#: disk.
MAKING_TIMEOUT = 15.0


class LedgerBusy(Exception):
    """The lock was not free in time: nothing was admitted, nothing was changed."""


def now_ns() -> int:
    """Return the time now, in ns of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class MappedFile:
    """The file of one ledger in this process.

    All methods raise LedgerBusy, LedgerDamaged or OSError.

    timeout: seconds to wait for the lock at each use; by default TIMEOUT.
    """

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        self.path = path
        self._timeout = TIMEOUT if timeout is None else timeout
        self._inside = False
        self._memory: mmap.mmap | None = None
        self._slots: Slots | None = None
        self._forget()
        _all.add(self)

    @contextmanager
    def locked(self, repair: bool = True) -> Iterator[Slots]:
        """Yield the slots; no other process or thread uses them meanwhile.

        Without `repair` the caller rebuilds the lists itself.
        """
        with self._threads:
            if self._inside:  # a signal handler, or code that iterates over the slots
                raise LedgerBusy(
                    f"{self.path}: expected one use at a time, found another one by the same thread"
                )
            try:
                self._inside = True
                slots = self._enter()
                try:
                    # A process was killed while it changed the lists: they are rebuilt from the
                    # slots, which are always right.
                    if repair and slots.words[Head.BUSY]:
                        rebuild(slots, now_ns())
                    yield slots
                except (Contradiction, IndexError, ValueError) as error:
                    # No process may continue with words that something else wrote: the next user
                    # finds no ledger, and creates one.
                    slots.words[Head.MAGIC] = 0
                    raise LedgerDamaged(
                        f"the contents of the ledger contradict each other: {error}"
                    ) from error
            finally:
                self._inside = False
                if self._fd >= 0:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)

    def grow(self, capacity: int) -> Slots:
        """Make room for `capacity` slots; return the new Slots.

        The slots beyond CAPACITY are retired. The caller holds the lock. The Slots of before are
        invalid.
        """
        os.posix_fallocate(self._fd, 0, ledger_file.size(capacity))
        # Else, after a power cut, the header may speak of slots that the file does not have.
        os.fsync(self._fd)
        memory = ledger_file.attach(self._fd)
        self._unmap()
        self._memory, self._slots = memory, Slots(memoryview(memory).cast("q"))
        beyond = ledger_file.size(int(self._slots.words[Head.CAPACITY]))
        memory[beyond : ledger_file.size(capacity)] = bytes(ledger_file.size(capacity) - beyond)
        words = self._slots.words
        words[beyond // WORD + Slot.STATE : ledger_file.size(capacity) // WORD : SLOT_WORDS] = (
            memoryview(array("q", [State.RETIRED]) * (capacity - int(words[Head.CAPACITY])))
        )
        return self._slots

    def sync_header(self) -> None:
        """Make the header durable; the caller holds the lock."""
        if self._memory is not None:
            self._memory.flush(0, min(mmap.PAGESIZE, len(self._memory)))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._threads:
            if self._inside:
                problem = "expected nobody inside at its close, found a use by the same thread"
                raise LedgerBusy(f"{self.path}: {problem}")
            self._detach()

    # -- the file ----------------------------------------------------------------------------------

    def _enter(self) -> Slots:
        """Take the lock, and return the slots of the file that has the path now."""
        while True:
            slots = self._slots or self._attach()
            if not self._is_open():
                # A task has closed every descriptor. The number may belong to another file by now,
                # and a lock on that file excludes no other user of the ledger.
                self._fd = -1
                self._unmap()
                continue
            lock(self._fd, self._timeout, self.path)
            # A link to the same file is no ledger: a process that opens it again would refuse it.
            there = os.lstat(self.path)
            mapped = len(slots.words) * WORD
            # The size first: the kernel kills a process that touches a page beyond the end of the
            # file.
            if (there.st_dev, there.st_ino) == self._identity and there.st_size >= mapped:
                words = slots.words
                room = (mapped - ledger_file.size(0)) // (SLOT_WORDS * WORD)
                # An impossible limit or window would admit no caller for good, or every caller.
                # Attached again, the file counts as damaged.
                possible = (
                    0 < words[Head.LIMIT] <= words[Head.CAPACITY] <= room
                    and 0 < words[Head.WINDOW] < MOST
                )
                if possible and words[Head.MAGIC] == MAGIC:
                    return slots
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._detach()

    def _attach(self) -> Slots:
        try:
            fd = open_regular(self.path, os.O_RDWR)
        except NotRegular as error:
            raise LedgerDamaged(f"expected a ledger, found {error.strerror}") from error
        try:
            memory = ledger_file.attach(fd)
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
        # Another thread of the parent was at work while it forked: the memory stays mapped.
        with suppress(BufferError):
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
    """Leave the parent's open files in a child, because it shares them and so their locks.

    The child could end these locks, or keep them after the parent's death.
    """
    for file in list(_all):
        file._detach()
        file._forget()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def making(path: Path) -> Iterator[int]:
    """Hold the lock of the creation of the ledger at `path`.

    Under it one process at a time creates, repairs or grows the ledger. Yields the descriptor of a
    file that remembers whether there was a ledger.
    """
    memo = path.with_name(f".{path.name}.making")
    lost = False
    with suppress(FileNotFoundError):
        if lost := not stat.S_ISREG(memo.lstat().st_mode):
            # A link would be followed, and a fifo keeps nothing. A process that opens such a file
            # has no lock on the real one.
            clear_path(memo)
    fd = os.open(memo, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    try:
        lock(fd, MAKING_TIMEOUT, path)
        if lost:
            # What it remembered is unknown: there was a ledger, and its slots count as used.
            os.pwrite(fd, b"made\n", 0)
        yield fd
    finally:
        # Not left to the close: a child that is being forked has the file open, too.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def lock(fd: int, timeout: float, path: Path) -> None:
    """Take the lock of `fd`, which ends with its holder.

    Raises LedgerBusy after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LedgerBusy(
                    f"{path}: its lock was held for more than {timeout:g} s; is a process stopped?"
                ) from None
        time.sleep(0.0005)
