"""Whether what this process writes to stderr ends up in systemd's journal."""

from __future__ import annotations

import os


def journal() -> bool:
    """True when JOURNAL_STREAM names the device and inode of stderr (systemd.exec(5)): a unit may redirect stderr elsewhere."""
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
