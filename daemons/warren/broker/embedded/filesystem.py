"""File operations of the embedded broker: whole writes, durable on request, and cheap looks."""

from __future__ import annotations

import ctypes
import os
import secrets
import time
from contextlib import suppress

#: The clock of file changes ticks every few milliseconds. Two changes within this time (ns) may
#: have the same time stamp.
_SETTLED = 100_000_000

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_libc = ctypes.CDLL(None, use_errno=True)


def write_whole(path: str, temp: str, content: bytes, durable: bool) -> None:
    """Write a file that appears complete or not at all. Raises OSError, and leaves nothing behind.

    path: the file. temp: a path on the same file system that nothing else uses. durable: whether
    the content is on disk when this returns. The file's name is not on disk then (see
    `atomic_write.sync_directory`).
    """
    try:
        with open(temp, "xb") as file:
            # For any umask of the task that sends: other processes of the same user must be able to
            # read the file.
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            if durable:
                # Before the rename: the name must not reach the disk before the content.
                os.fsync(file.fileno())
        os.rename(temp, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temp)
        raise


def remove_tree(top: str) -> None:
    """Remove a directory with all its content, however deep it is. Raises OSError.

    shutil.rmtree descends by recursion. A thousand levels, which any task can make, would end it
    with another error than OSError.
    """
    above, moved = f"{top}/{secrets.token_hex(8)}", 0
    while found := _entries(top):
        for entry in found:
            for below in _entries(entry.path) if entry.is_dir(follow_symlinks=False) else ():
                if below.is_dir(follow_symlinks=False):
                    # The content moves one level up, so that no path becomes longer than this.
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
    """Exchange two directories in one step. Raises OSError.

    A process that uses one of the paths finds a directory there at every moment.
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

    "Unchanged" compares with the last reading of the file or directory.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def unchanged(self) -> bool:
        """Return True when the file is certainly unchanged since the last look that returned False.

        After a False the caller reads the file.
        """
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            self._seen = None
            return False
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return True
        # The stamp is taken before the caller reads. Only a stamp that is old enough is trusted: a
        # change after that reading would then have another stamp.
        self._seen = seen if time.time_ns() - stat.st_mtime_ns > _SETTLED else None
        return False
