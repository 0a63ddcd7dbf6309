"""The lock on the run directory: its holder is the only supervisord that uses the directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from warren.errors import AlreadyRunning, CannotWrite
from warren.system.lock_holder import handle_of_holder, lock_holder
from warren.system.regular_file import open_or_make

_NAME = "supervisord.lock"
#: Number of characters that are read of the file; any task may have written to it.
_LONGEST_NOTE = 32


class Lock:
    """The lock of one run directory, held from its creation on.

    Raises AlreadyRunning when another process holds the lock, or CannotWrite.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / _NAME
        self._file = _taken(self.path)

    @property
    def lost(self) -> bool:
        """Return whether the path no longer leads to the locked file.

        Another supervisord could then take the lock of the file at the path.
        """
        try:
            found = os.stat(self.path)
        except OSError:
            return True
        return not os.path.samestat(found, os.fstat(self._file.fileno()))

    def renew(self) -> None:
        """Take the lock of the file that the path names now.

        Raises as the creation does; then the old file stays locked. A supervisord that came first
        holds the new file's lock, and is not disturbed. A supervisord that comes later finds this
        lock taken. Call this only when `lost`: closing a second handle on the locked file would
        release the lock.
        """
        fresh = _taken(self.path)
        self._file.close()
        self._file = fresh

    def release(self) -> None:
        """Release the lock, so that another supervisord can take it."""
        self._file.close()


@contextmanager
def sole(run_dir: Path) -> Iterator[Lock]:
    """Hold the run directory for this supervisord alone. Raises AlreadyRunning, or CannotWrite."""
    lock = Lock(run_dir)
    try:
        yield lock
    finally:
        lock.release()


def holder(run_dir: Path) -> int:
    """Return the process number of the supervisord that runs the suite, as `lock_holder` does.

    The kernel answers, not /proc: systemd runs ExecReload= in a user namespace of its own
    (PrivateUsers), in which /proc does not show the unit's other processes. Raises OSError.
    """
    return lock_holder(run_dir / _NAME)


def handle_of(run_dir: Path) -> tuple[int, int]:
    """Return the holder's process number and a handle of it, as `handle_of_holder` does.

    Raises OSError.
    """
    return handle_of_holder(run_dir / _NAME)


def _taken(path: Path) -> TextIO:
    try:
        # Not in a `with` block: the file is closed when the lock is released.
        file = open(open_or_make(path), "r+", encoding="utf-8", errors="replace")  # noqa: SIM115
    except OSError as error:
        raise CannotWrite(f"cannot open the lock file {path}: {error.strerror}") from error
    try:
        # A POSIX lock, which no child inherits. So the lock ends with this process even when a
        # child lives on.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        other = file.read(_LONGEST_NOTE).strip()
        other = other if other.isdecimal() else "?"
        file.close()
        raise AlreadyRunning(
            f"another supervisord, process {other}, has the run directory ({path}); "
            "stop that supervisord first, or set another run_dir in [app]"
        ) from error
    file.seek(0)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
