"""What the embedded broker asks of a file system: all or nothing, on disk when said so, and cheap looks."""

from __future__ import annotations

import ctypes
import os
import secrets
import time
from contextlib import suppress

#: Changes are stamped by a clock that ticks every few milliseconds: within this time (ns) two of them may bear the same stamp.
_SETTLED = 100_000_000

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_libc = ctypes.CDLL(None, use_errno=True)


def write_whole(path: str, temp: str, content: bytes, durable: bool) -> None:
    """Writes a file that is complete or not there at all; raises OSError and leaves nothing behind.

    `temp` is a path on the same file system that nobody else uses. `durable`: the content (not yet the name, see
    `atomic_write.sync_folder`) is on disk when this returns.
    """
    try:
        with open(temp, "xb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever umask the task has set that sends: others must read it, of one user
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())  # before the rename: a name must not reach the disk ahead of what it names
        os.rename(temp, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temp)
        raise


def remove_tree(top: str) -> None:
    """Remove a folder with all that is in it, however deep it is. Raises OSError.

    shutil.rmtree goes down by recursion: a thousand levels, which any task can make, end it with another error.
    """
    above, moved = f"{top}/{secrets.token_hex(8)}", 0
    while found := _entries(top):
        for entry in found:
            for below in _entries(entry.path) if entry.is_dir(follow_symlinks=False) else ():
                if below.is_dir(follow_symlinks=False):
                    os.rename(below.path, f"{above}.{moved}")  # one level up: no path grows longer than this
                    moved += 1
                else:
                    os.unlink(below.path)
            os.rmdir(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    os.rmdir(top)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def swap(one: str, other: str) -> None:
    """Exchanges two folders in one instant: whoever uses either path always finds a folder. Raises OSError."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one, None, other)


class Glance:
    """A cheap look (one stat) that tells whether a file or folder is certainly the same as when it was last read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def unchanged(self) -> bool:
        """True when it is certainly the same as at the last look that said False; after a False the caller reads it."""
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            self._seen = None
            return False
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen == self._seen:
            return True
        # Taken before the reading. Only a stamp that is old enough is trusted: a change after it would bear another one.
        self._seen = seen if time.time_ns() - stat.st_mtime_ns > _SETTLED else None
        return False
