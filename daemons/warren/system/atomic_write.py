"""Replaces files whole: a reader finds the old text or the new one, also when the writer is killed or the disk is full."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from warren.system.regular_file import clear_place, remove_any

#: Attempts to replace a directory that is put there again and again.
_TRIES = 10


def replace_file(path: Path, text: str, *, mode: int = 0o666, durable: bool = False) -> None:
    """Make the file at `path` hold this text, whatever stands there, or at `path`.new. The file has one writer.

    The umask takes its part of `mode`. With `durable` the text and its name are on disk when this returns.
    Raises OSError: then the old file stands, or, when only the folder was not synced, the new one.
    """
    fresh = path.with_name(f"{path.name}.new")
    remove_any(fresh)  # of a write that was cut off, or what somebody has put there
    try:
        # O_EXCL follows no link and opens no fifo, whatever another process puts there meanwhile.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(fresh, flags, mode), "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())  # before the rename: a name must not reach the disk ahead of what it names
        _rename(fresh, path)
        if durable:
            sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            fresh.unlink()  # what was written of it may be the room that others need
        raise


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put the names in a folder on disk. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _rename(fresh: Path, path: Path) -> None:
    for _ in range(_TRIES):
        try:
            os.replace(fresh, path)
            return
        except IsADirectoryError:  # the one thing that a file cannot replace
            clear_place(path)
    raise OSError(errno.EBUSY, "a directory is put there again and again", os.fspath(path))
