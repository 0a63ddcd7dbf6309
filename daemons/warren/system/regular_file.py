"""Safe access to files that another process may have replaced.

The replacement may be a link, a fifo, a device, or a file without an end. Every task may write to
the suite's run, state and log directories. So it can put anything under a name that other processes
read: root's commands, supervisord's loop, a monitor. All of these open such files by this module.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from warren.system.obstacles import MovedAway, clear, rename

#: Largest size in bytes that is read of a file in the run directory; the largest honest file has
#: about 100 kB.
LARGEST = 1 << 20
#: Attempts to open a file that other processes create and remove meanwhile.
_TRIES = 10
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


#: The functions that are called after each rename. The log adds its own at its import; this room is
#: below the log, and needs none.
tellers: list[Callable[[MovedAway], None]] = []


class NotRegular(OSError):
    """The error that a path leads to no regular file; `strerror` says what it is."""


class TooLarge(OSError):
    """The error that a file is larger than its reader accepts."""


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of the regular file at `path`, which must not be a link.

    Never wait, and never touch any other kind of file. `flags` is for open(2), without O_CREAT.
    Raises NotRegular, or OSError as open(2) does.
    """
    # The path is resolved once, by a handle that opens nothing. To open a device may have an effect
    # (a watchdog is armed, a tape rewinds), and to open a fifo may wait for ever. So the check and
    # the open meet the same inode.
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        refuse_others(os.fstat(handle), path)
        # Without O_NONBLOCK the owner of a regular file could block its reader as well, by a lease
        # (fcntl(2)).
        return os.open(f"/proc/self/fd/{handle}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        error.filename = os.fspath(path)  # not the path below /proc
        raise
    finally:
        os.close(handle)


def read_regular(
    path: str | os.PathLike[str], largest: int = LARGEST
) -> tuple[bytes, os.stat_result]:
    """Return the content of the regular file at `path`, at most `largest` bytes, and its status.

    Raises NotRegular, TooLarge, or OSError.
    """
    file = open_regular(path)
    try:
        found = bytearray()
        while block := os.read(file, largest + 1 - len(found)):
            found += block
            # The size of the read text counts: a file may grow, and a file of /proc has no size.
            if len(found) > largest:
                raise TooLarge(errno.EFBIG, f"larger than {largest} bytes", os.fspath(path))
        return bytes(found), os.fstat(file)
    finally:
        os.close(file)


def open_or_make(path: str | os.PathLike[str], mode: int = 0o600) -> int:
    """Return a descriptor of the regular file at `path`, to read and write; create the file if
    missing.

    Any other kind of file is moved or removed: a lock on a link's target, or on a fifo, would
    exclude no other process. Raises OSError.
    """
    for _ in range(_TRIES):
        try:
            return open_regular(path, os.O_RDWR)
        except NotRegular:
            clear_path(path)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                return os.open(
                    path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode
                )
    raise OSError(errno.EBUSY, "it is replaced again and again", os.fspath(path))


def remove_any(path: Path) -> None:
    """Remove anything that has the path of a file that is about to be created. Raises OSError."""
    clear_path(path)  # before any open: to open a fifo would wait for ever
    path.unlink(missing_ok=True)


def clear_path(
    path: str | os.PathLike[str], wanted: Callable[[int], bool] = stat.S_ISREG, to: str = ""
) -> None:
    """Move or remove what is at `path` unless its mode is `wanted`, as obstacles.py does.

    A rename is reported to `tellers`. Raises OSError.
    """
    if kept := clear(path, wanted, to):
        _report(kept)


def make_directory(path: str | os.PathLike[str], to: str = "") -> None:
    """Create a directory of the suite if it is missing; an obstacle is moved, as obstacles.py does.

    A symbolic link to nothing stays, and is an error: it may lead to a disk that is not mounted.
    Raises OSError.
    """
    for _ in range(_TRIES):
        try:
            os.makedirs(path, mode=0o750, exist_ok=True)
            return
        except FileExistsError as error:
            # A parent is not a directory, and the parent may not be the suite's.
            if error.filename not in (path, os.fspath(path)):
                raise
            if not _leads_to_directory(path):  # otherwise a disk was mounted just now
                clear_path(path, stat.S_ISDIR, to)
    raise OSError(errno.EBUSY, "a file is put there again and again", os.fspath(path))


def _leads_to_directory(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is now a directory, or a link to one.

    Raises NotADirectoryError for a link to nothing.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:  # nothing, or a circle of links
        if os.path.islink(path):
            text = "a symbolic link that leads to nothing"
            raise NotADirectoryError(errno.ENOTDIR, text, os.fspath(path)) from None
        return False


def move_away(path: str | os.PathLike[str], reason: str, to: str = "") -> None:
    """Rename what is at `path`, and report that; the new name is beside `path` or begins with `to`.

    Raises OSError.
    """
    _report(rename(path, reason, to))


def _report(kept: MovedAway) -> None:
    for tell in tellers:
        tell(kept)


def refuse_others(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    """Raise NotRegular unless the status is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "no file")
        raise NotRegular(errno.EINVAL, f"{kind} instead of a regular file", os.fspath(path))
