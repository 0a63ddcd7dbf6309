"""The modes of the suite's directories.

Only the suite's user may enter these directories. The log directory may also be read by its group.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: The umask of the suite: its files are for its user alone, because results and messages hold the
#: arguments of tasks.
UMASK = 0o077
#: The mode of the state and the run directory.
CLOSED = 0o700
#: The mode of the log directory, whose group may read the logs.
LOGS = 0o750
# The mode of the state and run directories before they were closed.
_FORMER = 0o750


def make_closed(directory: Path) -> None:
    """Create the directory, and its missing parents, for this user alone.

    A directory that an older version made is closed. Any other mode was an operator's choice and
    stays. Raises OSError.
    """
    _make(directory, CLOSED)
    status = directory.stat()
    if stat.S_IMODE(status.st_mode) == _FORMER and status.st_uid == os.geteuid():
        directory.chmod(CLOSED)


def make_logs(directory: Path) -> None:
    """Create the log directory with its mode, for any umask. An existing directory keeps its mode.

    Raises OSError.
    """
    _make(directory, LOGS)


def _make(directory: Path, mode: int) -> None:
    if directory.is_dir():
        return
    if not directory.parent.is_dir():
        _make(directory.parent, mode)
    try:
        directory.mkdir(mode=CLOSED)
    except FileExistsError:  # another process was faster, or another kind of file has this path
        if not directory.is_dir():
            raise
        return
    directory.chmod(mode)  # only a directory that this call has created
