"""Obstacles: files of another kind at the path of a file or directory of the suite.

An obstacle that may hold wanted data is renamed: a directory at the path of a file, a file at the
path of a directory. A directory is not emptied: that may take as long as its author likes, and the
tree may be too deep. An obstacle that holds no data is removed: a link, a fifo, a socket, a device.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

#: The part of a name that marks a renamed obstacle.
MARK = ".moved-away-"


class MovedAway(NamedTuple):
    """A renamed obstacle: its old path, its new path, and the reason."""

    path: str
    kept_as: str
    reason: str


def clear(
    path: str | os.PathLike[str], wanted: Callable[[int], bool] = stat.S_ISREG, to: str = ""
) -> MovedAway | None:
    """Rename or remove what is at `path` unless its mode (st_mode) is `wanted`. Raises OSError.

    Return the renamed obstacle; its new path is beside `path` or begins with `to`. No link is
    followed. The caller logs the rename, if it has a log (regular_file.clear_path does).
    """
    name = os.fspath(path).rstrip("/")
    try:
        mode = os.lstat(name).st_mode
        if wanted(mode):
            return None
        if stat.S_ISDIR(mode):
            # With the slash only a directory is renamed, never a file that another process has just
            # created there.
            return rename(f"{name}/", "a directory instead of a file", to)
        if stat.S_ISREG(mode):
            return rename(name, "a file instead of a directory", to)
        os.unlink(name)
    except FileNotFoundError:
        pass
    return None


def rename(path: str | os.PathLike[str], reason: str, to: str = "") -> MovedAway:
    """Rename what is at `path`; the new path is beside it or begins with `to`. Raises OSError."""
    name = os.fspath(path).rstrip("/")
    kept = f"{to or name}{MARK}{time.time_ns()}"
    os.rename(path, kept)
    return MovedAway(name, kept, reason)
