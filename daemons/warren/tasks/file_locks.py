"""Locks as files of this host: the kernel's lock on a file, which ends with its process.

DIGEST.lock is locked while a process works, DIGEST.done says that work was done once.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from weakref import WeakSet

from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, open_or_make, read_regular
from warren.tasks import lock_line
from warren.tasks.lock_interface import Done, Grant, NoLockStore, Refused
from warren.tasks.lock_key import Key
from warren.tasks.lock_line import Holder

#: The most bytes of a record that are read.
_LARGEST = 4 * 2**20
#: Seconds after which a refused caller may ask again: the lock of a dead process is free at once.
_AGAIN = 1.0
#: Seconds between two removals of old records by one process.
_SWEEP = 600.0
#: Attempts to lock a file that other processes create and remove meanwhile.
_TRIES = 1000
#: The open files of the locks that this process holds. Python closes the file of a lock that nobody
#: uses any more, because its run was cut off: that frees the lock.
_open: WeakSet[FileIO] = WeakSet()


def _forget_inherited() -> None:
    """Close the parent's files after a fork, so that a lock ends with the process that took it."""
    for file in list(_open):
        file.close()
    _open.clear()


os.register_at_fork(after_in_child=_forget_inherited)


class FileLocks:
    """The locks in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._swept = time.monotonic()

    def take(self, key: Key, note: str) -> Grant | Refused | Done:
        """Take the lock if it is free. Raises NoLockStore."""
        path = self._directory / f"{key.digest}.lock"
        try:
            make_directory(self._directory)
            file = locked_file(path)
            if isinstance(file, Refused):
                return file
            grant = FileGrant(self, path, file, note)
            if (found := record(path.with_suffix(".done"))) is not None:
                grant.release()
                return found
            return grant
        except OSError as error:
            raise NoLockStore(f"cannot use {path}: {error.strerror}; look at this path") from error

    def sweep(self) -> None:
        """Remove the records whose time is over, at most once in `_SWEEP` seconds."""
        if time.monotonic() - self._swept < _SWEEP:
            return
        self._swept = time.monotonic()
        for path in self._directory.glob("*.done"):
            with suppress(OSError):
                # Under the lock: a holder may just have written the record anew.
                file = locked_file(lock := path.with_suffix(".lock"))
                if not isinstance(file, Refused):
                    if record(path) is None:
                        path.unlink(missing_ok=True)
                    _unlock(lock, file)


class FileGrant:
    """A lock file that this process has locked. It holds for as long as the process lives."""

    def __init__(self, locks: FileLocks, path: Path, file: FileIO, note: str) -> None:
        now = time.time()
        self.token = int(now * 1e6)
        self._locks, self._path, self._file, self._pid = locks, path, file, os.getpid()
        self._line = lock_line.locked(f"{self._pid:x}", self.token, now, note)
        text = self._line.encode()
        with suppress(OSError):  # a full disk: only the note about the holder is missing
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), text, 0)

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return not self._file.closed and os.getpid() == self._pid

    def release(self) -> bool:
        """Release the lock."""
        if self.held:
            _unlock(self._path, self._file)
        return True

    def finish(self, result: str, keep: float) -> bool:
        """Note the result for `keep` seconds, on disk; release the lock. Raises NoLockStore."""
        if os.getpid() != self._pid:
            return True
        path = self._path.with_suffix(".done")
        try:
            text = f"{time.time() + keep:.0f}\n{lock_line.done(self._line, result)}"
            replace_file(path, text, mode=0o600, durable=True)
        except OSError as error:
            raise NoLockStore(f"cannot write {path}: {error.strerror}") from error
        finally:
            self.release()
        self._locks.sweep()
        return True


def locked_file(path: Path) -> FileIO | Refused:
    """Return the file at `path`, locked. Raises OSError."""
    for _ in range(_TRIES):
        file = FileIO(open_or_make(path), "r+")
        try:
            # Not a POSIX lock: two threads of a process must exclude each other as well.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            line = lock_line.parse(os.pread(file.fileno(), 4096, 0).decode(errors="replace"))
            file.close()
            return Refused(line.holder if line else Holder(), _AGAIN)
        # Its last holder may have removed the file between our open and our lock.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                _open.add(file)
                return file
        file.close()
    return Refused(Holder(), _AGAIN)


def record(path: Path) -> Done | None:
    """Return what a record says; None without one, or when its time is over. Raises OSError."""
    try:
        until, _, text = read_regular(path, _LARGEST)[0].decode(errors="replace").partition("\n")
    except FileNotFoundError:
        return None
    line = lock_line.parse(text)
    if line is None or not line.done or not until.isdecimal() or int(until) <= time.time():
        return None
    return Done(line.holder, line.result)


def _unlock(path: Path, file: FileIO) -> None:
    """Remove the file, then unlock it. Whoever locks it now sees that it is removed."""
    with suppress(OSError):
        path.unlink()
    file.close()
