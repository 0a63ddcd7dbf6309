"""Opens files that another process may have replaced: by a link, a fifo, a device, or by a file without an end.

Whoever may write to the run, state or log folder of the suite (every task may) can put anything under a name that other
processes read: root's commands, supervisord's loop, a monitor. So each of them opens such files here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from warren.system.obstacles import SetAside, clear, rename

#: Bytes of a file of the run folder that are read; the largest honest one has some 100 kB.
LARGEST = 1 << 20
#: Attempts to open a file that others make and remove meanwhile.
_TRIES = 10
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


#: What is called after each rename. The log is among them from its import on; this room, which is below it, needs no log.
tellers: list[Callable[[SetAside], None]] = []


class NotRegular(OSError):
    """What stands under that name is no regular file; `strerror` says what it is."""


class TooLarge(OSError):
    """The file holds more than its reader takes."""


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """Return a descriptor of the regular file at `path`, which must be no link; never wait, and never touch what it is not.

    `flags` is for open(2), without O_CREAT. Raises NotRegular, or OSError as open(2) does.
    """
    # The name is resolved once, by a handle that opens nothing: to open a device may already do something (a watchdog is
    # armed, a tape rewound), and to open a fifo may wait for ever. What is asked and what is opened is the same inode.
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        refuse_others(os.fstat(handle), path)
        # Without O_NONBLOCK the owner of a regular file could hold up its reader as well, by a lease (fcntl(2)).
        return os.open(f"/proc/self/fd/{handle}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        error.filename = os.fspath(path)  # and not the one below /proc
        raise
    finally:
        os.close(handle)


def read_regular(path: str | os.PathLike[str], largest: int = LARGEST) -> tuple[bytes, os.stat_result]:
    """Return what the regular file at `path` holds, at most `largest` bytes, and its status.

    Raises NotRegular, TooLarge, or OSError.
    """
    file = open_regular(path)
    try:
        found = bytearray()
        while block := os.read(file, largest + 1 - len(found)):
            found += block
            if len(found) > largest:  # judged by what is read: a file may grow, and one of /proc has no size
                raise TooLarge(errno.EFBIG, f"larger than {largest} bytes", os.fspath(path))
        return bytes(found), os.fstat(file)
    finally:
        os.close(file)


def open_or_make(path: str | os.PathLike[str], mode: int = 0o600) -> int:
    """Return a descriptor, to read and to write, of the regular file at `path`; made where it is missing.

    What stands there and is no such file makes way: a lock on what a link leads to, or in a fifo, binds nobody. Raises OSError.
    """
    for _ in range(_TRIES):
        try:
            return open_regular(path, os.O_RDWR)
        except NotRegular:
            clear_place(path)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another process was faster
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    raise OSError(errno.EBUSY, "it is replaced again and again", os.fspath(path))


def remove_any(path: Path) -> None:
    """Remove what is left under the name of a file that is about to be made, whatever it is. Raises OSError."""
    clear_place(path)  # to open a fifo would wait for ever
    path.unlink(missing_ok=True)


def clear_place(path: str | os.PathLike[str], wanted: Callable[[int], bool] = stat.S_ISREG, to: str = "") -> None:
    """Make way for a file, or for what else is `wanted` of its mode, as obstacles.py does. Raises OSError.

    What is renamed is named in the log.
    """
    if kept := clear(path, wanted, to):
        _tell(kept)


def make_directory(path: str | os.PathLike[str], to: str = "") -> None:
    """Make a directory of the suite's own, where it is missing; what stands in its place makes way, as obstacles.py does.

    A symbolic link to nothing stays, and is an error: it may lead to a disk that is not mounted. Raises OSError.
    """
    for _ in range(_TRIES):
        try:
            os.makedirs(path, mode=0o750, exist_ok=True)
            return
        except FileExistsError as error:
            if error.filename not in (path, os.fspath(path)):  # a directory above is none: nobody said that it is the suite's
                raise
            if not _leads_to_directory(path):  # else the disk was mounted just now
                clear_place(path, stat.S_ISDIR, to)
    raise OSError(errno.EBUSY, "a file is put there again and again", os.fspath(path))


def _leads_to_directory(path: str | os.PathLike[str]) -> bool:
    """Return whether a directory is there by now, or a link to one. Raises NotADirectoryError for a link to nothing."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:  # nothing, or a ring of links
        if os.path.islink(path):
            text = "a symbolic link that leads to nothing"
            raise NotADirectoryError(errno.ENOTDIR, text, os.fspath(path)) from None
        return False


def set_aside(path: str | os.PathLike[str], reason: str, to: str = "") -> None:
    """Rename what stands at `path`, to a name beside it or to one that begins with `to`, and tell the log. Raises OSError."""
    _tell(rename(path, reason, to))


def _tell(kept: SetAside) -> None:
    for tell in tellers:
        tell(kept)


def refuse_others(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    """Raise NotRegular unless it is the status of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "no file")
        raise NotRegular(errno.EINVAL, f"{kind} instead of a regular file", os.fspath(path))
