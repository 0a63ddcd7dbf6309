"""The lock on the run folder: whoever has it is the only supervisord there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from warren.errors import AlreadyRunning, CannotWrite
from warren.process import handle_of_holder, lock_holder
from warren.regular_file import open_or_make

_NAME = "supervisord.lock"
#: Characters of it that are read; any task may have written to it.
_LONGEST_NOTE = 32


class Lock:
    """The lock of one run folder, held from here on. Raises AlreadyRunning when another has it, or CannotWrite."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / _NAME
        self._file = _taken(self.path)

    @property
    def lost(self) -> bool:
        """Whether the path no longer leads to the file that is held, so that another supervisord would find it free."""
        try:
            found = os.stat(self.path)
        except OSError:
            return True
        return not os.path.samestat(found, os.fstat(self._file.fileno()))

    def renew(self) -> None:
        """Takes the lock where the path leads now. Raises as at first, and then the old file stays held.

        A supervisord that came first has that file's lock, and is not disturbed; one that comes later meets ours. Only when
        `lost`: to close a second handle on the file that is held would give its lock away.
        """
        fresh = _taken(self.path)
        self._file.close()
        self._file = fresh

    def release(self) -> None:
        """Lets another supervisord in."""
        self._file.close()


@contextmanager
def sole(run_dir: Path) -> Iterator[Lock]:
    """Within it no other supervisord has this run folder. Raises AlreadyRunning, or CannotWrite."""
    lock = Lock(run_dir)
    try:
        yield lock
    finally:
        lock.release()


def holder(run_dir: Path) -> int:
    """The kernel's word for who runs the suite, as of `lock_holder`. /proc is not asked: systemd runs ExecReload= in a user
    namespace of its own (PrivateUsers), from which the unit's other processes cannot be seen there. Raises OSError.
    """
    return lock_holder(run_dir / _NAME)


def handle_of(run_dir: Path) -> tuple[int, int]:
    """The holder's number with a handle of it, as `handle_of_holder` has them. Raises OSError."""
    return handle_of_holder(run_dir / _NAME)


def _taken(path: Path) -> TextIO:
    try:
        file = open(open_or_make(path), "r+", encoding="utf-8", errors="replace")  # noqa: SIM115  it is closed with the lock
    except OSError as error:
        raise CannotWrite(f"cannot open the lock file {path}: {error.strerror}") from error
    try:
        # A POSIX lock: no child has it, so it ends with this process even when a child outlives it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        other = file.read(_LONGEST_NOTE).strip()
        other = other if other.isdecimal() else "?"
        file.close()
        raise AlreadyRunning(
            f"another supervisord, process {other}, has the run folder ({path}); stop it first, or set another run_dir in [app]"
        ) from error
    file.seek(0)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
