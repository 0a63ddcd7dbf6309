"""The mapped file of a ledger, behind its lock.

A process attaches the file when it needs the ledger. When the file grows, shrinks or is replaced,
the process attaches the new file.

The lock is made by flock. It belongs to the open file; a POSIX lock would belong to the process. So
the lock does not end when the process opens and closes the same file elsewhere, and two users of
one ledger within a process exclude each other. A child opens the file again after a fork.
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

#: Seconds that a caller waits for the lock, unless the caller sets a shorter timeout. A holder
#: needs microseconds. The supervisor ends a holder that is stopped while it holds the lock.
TIMEOUT = 2.0
#: Seconds to wait for the lock under which a ledger is created, repaired or grown. Its holder waits
#: for the disk.
MAKING_TIMEOUT = 15.0


class LedgerBusy(Exception):
    """The lock was not free in time. Nothing was admitted, and nothing was changed."""


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
        """Yield the slots, which no other process or thread uses meanwhile.

        repair: rebuild the lists when a change was cut off; if False, the caller rebuilds the
        lists.
        """
        with self._threads:
            if self._inside:  # from a signal handler, or from a loop over the slots
                raise LedgerBusy(
                    f"{self.path}: expected one use at a time, found a second use by this thread"
                )
            try:
                self._inside = True
                slots = self._enter()
                try:
                    # A process was killed while it changed the lists. They are rebuilt from the
                    # slots, which are always right.
                    if repair and slots.words[Head.BUSY]:
                        rebuild(slots, now_ns())
                    yield slots
                except (Contradiction, IndexError, ValueError) as error:
                    # Another program wrote these words, and no process may continue with them. The
                    # next user finds an invalid ledger, and creates a new ledger.
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

        The slots beyond CAPACITY are retired. The caller holds the lock. The Slots object from
        before this call must not be used any more.
        """
        os.posix_fallocate(self._fd, 0, ledger_file.size(capacity))
        # Otherwise, after a power cut, the header may count slots that the file does not have.
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
                problem = "expected no use at its close, found a use by the same thread"
                raise LedgerBusy(f"{self.path}: {problem}")
            self._detach()

    # -- the file ----------------------------------------------------------------------------------

    def _enter(self) -> Slots:
        """Take the lock, and return the slots of the file that has the path now."""
        while True:
            slots = self._slots or self._attach()
            if not self._is_open():
                # A task has closed every descriptor of the process. By now the number may belong to
                # another file, and a lock on that file excludes no other user of the ledger.
                self._fd = -1
                self._unmap()
                continue
            lock(self._fd, self._timeout, self.path)
            # A hard link is no ledger: a process that opens the file again would refuse it.
            there = os.lstat(self.path)
            mapped = len(slots.words) * WORD
            # The size is checked first: the kernel kills a process that touches a page beyond the
            # end of the file.
            if (there.st_dev, there.st_ino) == self._identity and there.st_size >= mapped:
                words = slots.words
                room = (mapped - ledger_file.size(0)) // (SLOT_WORDS * WORD)
                # An impossible limit or window would forever admit no caller, or every caller. When
                # the file is attached again, it counts as damaged.
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
        # Another thread of the parent may use the mapping during the fork, so the memory stays
        # mapped.
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
    """Drop the parent's open files in a child.

    A child shares the parent's open files, and with them their locks: the child could end these
    locks, or keep them after the parent's death.
    """
    for file in list(_all):
        file._detach()
        file._forget()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def making(path: Path) -> Iterator[int]:
    """Hold the lock under which the ledger at `path` is created, repaired or grown.

    One process at a time holds this lock. Yields the descriptor of a file that remembers whether
    there was a ledger.
    """
    memo = path.with_name(f".{path.name}.making")
    lost = False
    with suppress(FileNotFoundError):
        if lost := not stat.S_ISREG(memo.lstat().st_mode):
            # The open would follow a link, and a fifo keeps nothing. In both cases the process
            # would have no lock on the real file.
            clear_path(memo)
    fd = os.open(memo, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    try:
        lock(fd, MAKING_TIMEOUT, path)
        if lost:
            # What the old file remembered is lost. So a ledger is assumed, and its slots count as
            # used.
            os.pwrite(fd, b"made\n", 0)
        yield fd
    finally:
        # The close would not release it: a child that is being forked has the file open, too.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def lock(fd: int, timeout: float, path: Path) -> None:
    """Take the lock of `fd`; the kernel releases it when its holder ends.

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
                    f"{path}: its lock was held for more than {timeout:g} s; look for a stopped "
                    "process"
                ) from None
        time.sleep(0.0005)
