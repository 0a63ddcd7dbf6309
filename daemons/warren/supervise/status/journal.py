"""Whether the stderr of this process leads to systemd's journal."""

from __future__ import annotations

import os


def journal() -> bool:
    """Return whether JOURNAL_STREAM names the device and inode of stderr (systemd.exec(5)).

    The variable alone proves nothing, because a unit may redirect stderr.
    """
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
