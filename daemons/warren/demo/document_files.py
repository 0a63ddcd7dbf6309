"""Files in one folder that no name can leave, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_LONGEST_NAME = 255  # bytes; the most that Linux file systems take


def inside(folder: Path, filename: str) -> Path:
    """The path of `filename` directly in `folder`.

    Raises ValueError for whatever is not the plain name of one file: a separator, `..`, NUL or another control
    character, a leading dot (hidden files, and the unfinished files of this module), nothing, more than 255 bytes.
    """
    if not filename or filename.startswith(".") or "/" in filename or not filename.isprintable():
        raise ValueError(f"filename: expected the plain name of a file, found {filename[:80]!r}")
    length = len(filename.encode())
    if length > _LONGEST_NAME:
        raise ValueError(f"filename: expected at most {_LONGEST_NAME} bytes, found {length}")
    return folder / filename


def write_whole(path: Path, chunks: Iterable[bytes]) -> int:
    """Puts the chunks into `path` so that it holds all of them or is as before, whatever is killed; returns the bytes.

    A link at `path` is replaced, never followed.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            size = sum(file.write(chunk) for chunk in chunks)
            file.flush()
            os.fsync(file.fileno())  # before the rename: after a power cut the name must not lead to an empty file
        unfinished.chmod(0o640)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return size


def finished(folder: Path) -> Iterator[Path]:
    """The whole files of the folder in the order of their names; links, folders and unfinished files are left out."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path
