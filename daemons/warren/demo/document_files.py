"""Files in one directory that no name can leave, written completely or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

_LONGEST_NAME = 255  # bytes, the limit of Linux file systems


def inside(directory: Path, filename: str) -> Path:
    """Return the path of `filename` directly in `directory`.

    Raises ValueError when `filename` is not the plain name of one file: for a separator, `..`, NUL
    or another control character, a leading dot (hidden files, and the unfinished files of this
    module), an empty name, or more than 255 bytes.
    """
    if not filename or filename.startswith(".") or "/" in filename or not filename.isprintable():
        raise ValueError(f"filename: expected the plain name of a file, found {filename[:80]!r}")
    length = len(filename.encode())
    if length > _LONGEST_NAME:
        raise ValueError(f"filename: expected at most {_LONGEST_NAME} bytes, found {length}")
    return directory / filename


def write_whole(path: Path, chunks: Iterable[bytes]) -> int:
    """Write the chunks to `path`, and return the number of bytes.

    The file then holds all chunks, or is as before, whichever process is killed meanwhile. A link
    at `path` is replaced, never followed.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            size = sum(file.write(chunk) for chunk in chunks)
            file.flush()
            # Before the rename, so that after a power cut the name does not lead to an empty file.
            os.fsync(file.fileno())
        unfinished.chmod(0o640)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return size


def finished(directory: Path) -> Iterator[Path]:
    """Yield the complete files of the directory, ordered by name.

    Links, directories and unfinished files are left out.
    """
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if not path.name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path
