"""Makes way for a file or a directory of the suite: one rule for whatever else stands in its place.

What may hold something that somebody wants is renamed: a directory where a file belongs, a file where a directory belongs.
It is not emptied: that takes as long as whoever filled it likes, and a tree may be too deep for it. What holds nothing is
removed: a link, a fifo, a socket, a device.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

#: In the name of whatever was renamed.
MARK = ".set-aside-"


class SetAside(NamedTuple):
    """What was renamed: where it stood, its name now, and why."""

    path: str
    kept_as: str
    reason: str


def clear(path: str | os.PathLike[str], wanted: Callable[[int], bool] = stat.S_ISREG, to: str = "") -> SetAside | None:
    """Rename or remove what stands at `path` unless its mode (st_mode) is `wanted`. Raises OSError.

    Return what was renamed: beside `path`, or to a name that begins with `to`. No link is followed.
    The caller tells the log, if there is one (regular_file.clear_place does).
    """
    name = os.fspath(path).rstrip("/")
    try:
        mode = os.lstat(name).st_mode
        if wanted(mode):
            return None
        if stat.S_ISDIR(mode):
            # The slash: only a directory is renamed, and no file that another process has made there meanwhile.
            return rename(f"{name}/", "a directory instead of a file", to)
        if stat.S_ISREG(mode):
            return rename(name, "a file instead of a directory", to)
        os.unlink(name)
    except FileNotFoundError:
        pass
    return None


def rename(path: str | os.PathLike[str], reason: str, to: str = "") -> SetAside:
    """Give what stands at `path` a name beside it, or one that begins with `to`. Raises OSError."""
    name = os.fspath(path).rstrip("/")
    kept = f"{to or name}{MARK}{time.time_ns()}"
    os.rename(path, kept)
    return SetAside(name, kept, reason)
