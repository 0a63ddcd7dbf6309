"""The atomic write: a reader finds the old text or the new text, never a part of it.

This also holds when the writer is killed or the disk is full.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from warren.system.regular_file import clear_path, remove_any

#: Attempts to replace a directory that another process creates again and again.
_TRIES = 10


def replace_file(path: Path, text: str, *, mode: int = 0o666, durable: bool = False) -> None:
    """Replace whatever is at `path` by a file with this text.

    The text is first written to `path`.new, and whatever is there is removed. The file has one
    writer.

    mode: the umask applies to it. durable: whether the text and its name are on disk when the
    function returns. Raises OSError: then the old file is still there; if only the sync of the
    directory failed, the new file is there.
    """
    fresh = path.with_name(f"{path.name}.new")
    remove_any(fresh)  # left by a write that was cut off, or put there by another process
    try:
        # O_EXCL follows no link and opens no fifo, whatever another process creates meanwhile.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(fresh, flags, mode), "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())  # before the rename: the name must not reach the disk first
        _rename(fresh, path)
        if durable:
            sync_directory(path.parent)
    except OSError:
        with suppress(OSError):
            fresh.unlink()  # frees the disk space of the partial text for other processes
        raise


def sync_directory(directory: str | os.PathLike[str]) -> None:
    """Write the names in a directory to disk. Raises OSError."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _rename(fresh: Path, path: Path) -> None:
    for _ in range(_TRIES):
        try:
            os.replace(fresh, path)
            return
        except IsADirectoryError:  # the only obstacle that a file cannot replace
            clear_path(path)
    raise OSError(errno.EBUSY, "a directory is put there again and again", os.fspath(path))
