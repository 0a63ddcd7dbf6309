"""The file operations of the embedded broker: whole writes, durable on demand; cheap looks."""

from __future__ import annotations

import ctypes
import os
import secrets
import time
from contextlib import suppress

#: The clock of file changes ticks every few milliseconds: within this time (ns) two changes may
#: have the same time stamp.
_SETTLED = 100_000_000

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_libc = ctypes.CDLL(None, use_errno=True)


def write_whole(path: str, temp: str, content: bytes, durable: bool) -> None:
    """Write a file that is complete or not there at all. Raises OSError, and leaves nothing behind.

    path: the file. temp: a path on the same file system that nothing else uses. durable: whether
    the content is on disk when this returns; the name is not yet (see
    `atomic_write.sync_directory`).
    """
    try:
        with open(temp, "xb") as file:
            # Whatever the umask of the sending task is: other processes of the same user must read
            # it.
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            if durable:
                # Before the rename: a name must not reach the disk ahead of its content.
                os.fsync(file.fileno())
        os.rename(temp, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temp)
        raise


def remove_tree(top: str) -> None:
    """Remove a directory with all its content, however deep it is. Raises OSError.

    shutil.rmtree descends by recursion: a thousand levels, which any task can make, end it with
    another error.
    """
    above, moved = f"{top}/{secrets.token_hex(8)}", 0
    while found := _entries(top):
        for entry in found:
            for below in _entries(entry.path) if entry.is_dir(follow_symlinks=False) else ():
                if below.is_dir(follow_symlinks=False):
                    # One level up: no path grows longer than this.
                    os.rename(below.path, f"{above}.{moved}")
                    moved += 1
                else:
                    os.unlink(below.path)
            os.rmdir(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    os.rmdir(top)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return list(entries)


def swap(one: str, other: str) -> None:
    """Exchange two directories in one instant. Raises OSError.

    A process that uses either path finds a directory at every moment.
    """
    if (
        _libc.renameat2(
            _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
        )
        != 0
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one, None, other)


class Glance:
    """A cheap look (one stat) that says whether a file or directory is certainly unchanged.

    Unchanged means: since the file or directory was last read.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def unchanged(self) -> bool:
        """Return True when it is certainly the same as at the last look that returned False.

        After a False the caller reads it.
        """
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            self._seen = None
            return False
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return True
        # Taken before the reading. Only a time stamp that is old enough is trusted: a later change
        # would have another one.
        self._seen = seen if time.time_ns() - stat.st_mtime_ns > _SETTLED else None
        return False
