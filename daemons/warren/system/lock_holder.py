"""The process that holds a POSIX lock on a file, found by the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from warren.system.process import effective_uid
from warren.system.regular_file import open_regular

#: struct flock of fcntl(2): type, whence, start, length, pid.
_FLOCK = "hhqqi0q"


def lock_holder(path: Path) -> int:
    """Return the number of the process that holds the POSIX lock on a file, as the kernel says.

    Returns 0 when no process holds the lock, and -1 when the calling process cannot see the holder,
    as from within another container. Raises OSError; also when root would have to trust a file or a
    process of another user.

    The holder itself must not call this function: it closes the file, and with that the holder's
    lock is gone.
    """
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        file = open_regular(path)  # the question needs no right to write
    except FileNotFoundError:
        return 0
    try:
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, question))
        if kind == fcntl.F_UNLCK:
            return 0
        if os.geteuid() == 0 and pid > 0:
            _refuse_strangers(path, os.fstat(file).st_uid, pid)
    finally:
        os.close(file)
    return pid or -1


def handle_of_holder(path: Path) -> tuple[int, int]:
    """Return the holder's number as `lock_holder` does, and a handle (pidfd) of the holder.

    A signal through the handle never reaches a later process with the same number. The handle is -1
    when there is no process. Raises OSError, ProcessLookupError when the process has just ended.
    """
    pid = lock_holder(path)
    if pid <= 0:
        return pid, -1
    handle = os.pidfd_open(pid)
    # The process ended before the handle was opened. The handle may be another process's with the
    # same number.
    if lock_holder(path) != pid:
        os.close(handle)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return pid, handle


def _refuse_strangers(path: Path, owner: int, pid: int) -> None:
    """Raise PermissionError unless directory, file and holder belong to one user.

    The kernel lets root signal any process. So root makes the check that it would ask of an
    ordinary user: whether the process belongs to that user.
    """
    uid = effective_uid(pid)
    if uid is None:  # the process has ended
        return
    if not os.stat(path.parent).st_uid == owner == uid:
        text = (
            f"the file is of user {owner}, and process {pid} of user {uid} holds its lock; root "
            "trusts neither user"
        )
        raise PermissionError(errno.EPERM, text, str(path))
