"""Folders of the suite that nobody but its user may enter, and the one of the logs, which its group may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: What a process of the suite makes is its user's alone: results and messages hold the arguments of tasks.
UMASK = 0o077
#: State and run folder.
CLOSED = 0o700
#: The log folder, whose group may read the logs.
LOGS = 0o750
# What the state and run folders were made with before they were closed.
_FORMER = 0o750


def make_closed(folder: Path) -> None:
    """Makes the folder, and those above it that are missing, for this user alone; one that an older version made is closed.

    Any other mode was somebody's choice and stays. Raises OSError.
    """
    _make(folder, CLOSED)
    status = folder.stat()
    if stat.S_IMODE(status.st_mode) == _FORMER and status.st_uid == os.geteuid():
        folder.chmod(CLOSED)


def make_logs(folder: Path) -> None:
    """Makes the log folder with its mode, whatever the umask is; one that is there keeps its own. Raises OSError."""
    _make(folder, LOGS)


def _make(folder: Path, mode: int) -> None:
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make(folder.parent, mode)
    try:
        folder.mkdir(mode=CLOSED)
    except FileExistsError:  # another process was faster, or something that is no folder is in its place
        if not folder.is_dir():
            raise
        return
    folder.chmod(mode)  # only of a folder that is ours because we made it
