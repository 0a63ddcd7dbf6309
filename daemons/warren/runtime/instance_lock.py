"""The lock that makes a daemon the only instance of its program on a host."""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from warren.errors import AlreadyRunning, CannotWrite, OrphanRemains
from warren.system import strict_json
from warren.system.atomic_write import replace_file
from warren.system.private_directory import make_closed
from warren.system.process import Process, current_process
from warren.system.regular_file import open_or_make

#: Seconds that a daemon waits for the end of an orphan: a daemon of the same name whose supervisor
#: has vanished.
ORPHAN_TIMEOUT = 30.0
#: The most characters of a lock file that are read, because any task may have written to the file.
_LONGEST_NOTE = 1000


class InstanceLock:
    """The lock run_dir/PROGRAM.lock, with the pid file beside it.

    supervisor: the process that supervises this daemon; None for a daemon without a supervisor. The
    lock is held for as long as this object exists.
    """

    def __init__(self, run_dir: Path, program: str, supervisor: Process | None) -> None:
        self._path = run_dir / f"{program}.lock"
        self._program = program
        self._supervisor = supervisor

    def take(self) -> None:
        """Take the lock, and note the holder.

        Raises CannotWrite, AlreadyRunning or OrphanRemains.
        """
        path = self._path
        try:
            make_closed(path.parent)
            # Not in a `with` block: the file stays open for as long as the daemon lives.
            self._file = open(open_or_make(path), "r+", encoding="utf-8")  # noqa: SIM115
            # A POSIX lock, because pool children do not inherit such a lock. They may outlive a
            # killed worker for a moment.
            self._take_lock(path)
            self._note_holder()
        except OSError as error:
            where = error.filename or path
            raise CannotWrite(
                f"cannot write the daemon's lock {where}: {error.strerror}; set [app] run_dir"
            ) from error

    def _note_holder(self) -> None:
        """Write the holder into the lock file, for a refused daemon and for scripts.

        The text overwrites the text of a dead holder, which needs no disk space. When the disk has
        no room, the daemon starts all the same; otherwise a task could fill the disk, be killed,
        and so keep the daemon from starting. Another daemon is still refused, because the lock is
        the kernel's. That daemon then reads the text of a dead holder, or no text, and waits as it
        waits for an orphan.
        """
        supervisor = self._supervisor
        note = json.dumps(
            [current_process().pid, supervisor and [supervisor.pid, supervisor.start]]
        ).encode()
        try:
            os.pwrite(self._file.fileno(), note, 0)
            os.ftruncate(self._file.fileno(), len(note))
            self._write_pid()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def _write_pid(self) -> None:
        """Write the pid file, for scripts.

        Only the holder of the lock writes it. A kill before the rename leaves the old file, which
        is stale anyway.
        """
        self._pid_file = self._path.with_suffix(".pid")
        # The handler runs at any kind of end but a kill. The handler's registration keeps this
        # object, and with it the lock, until the file is gone. So the file cannot be that of a
        # successor.
        atexit.register(self._forget_pid, os.getpid())
        replace_file(self._pid_file, f"{os.getpid()}\n")

    def _forget_pid(self, owner: int) -> None:
        if os.getpid() == owner:  # a forked child that runs this handler is not the daemon
            with suppress(OSError):
                self._pid_file.unlink()

    def _take_lock(self, path: Path) -> None:
        deadline = time.monotonic() + ORPHAN_TIMEOUT
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if not isinstance(error, (BlockingIOError, PermissionError)):
                    raise
            holder, orphan = self._holder()
            # An orphan is about to end. If this daemon were refused now, the host would stay
            # without the daemon.
            if not orphan or time.monotonic() > deadline:
                refusal = OrphanRemains if orphan else AlreadyRunning
                raise refusal(
                    f"another {self._program} runs on this host, process {holder} ({path}); "
                    "stop that process first"
                )
            time.sleep(0.1)

    def _holder(self) -> tuple[str, bool]:
        self._file.seek(0)
        try:
            pid, supervisor = strict_json.loads(self._file.read(_LONGEST_NOTE))
            # Any task may have written the file. A text that is not a number would become a path
            # below /proc, and so could name any file or fifo.
            if supervisor is None:
                return str(_whole(pid)), False
            number, start = supervisor
            return str(_whole(pid)), not Process(_whole(number), _whole(start)).alive
        except (ValueError, TypeError):
            # The holder has not written its note yet, or was killed before it could.
            return "unknown", True


def _whole(value: object) -> int:
    """Return the number: of a process, or of clock ticks.

    Raises TypeError when the value is not a number.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value
