"""Who may change the code of the tasks: whoever may, is the suite's user; and a task that may, is all other tasks."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from warren.cli.as_owner import for_root
from warren.config import Settings
from warren.config.access import user_name


def writable_code(settings: Settings) -> list[str]:
    """Return a sentence for each file and directory of the modules, as far as they are imported, that others may write to.

    Others are everybody; the suite's own user, where root has asked or is the one who runs it: a developer owns his code.
    """
    found: list[str] = []
    for path in _places(settings):
        try:
            status = os.stat(path)
        except OSError:
            continue
        who = _writers(status)
        if who:
            found.append(f"{path} may be written to by {who}: whoever does that runs as the suite; chown root {path}, chmod go-w")
    return found


def _writers(status: os.stat_result) -> str:
    """Who may write there besides root and an owner that is nobody's concern. By mode alone: a unit may forbid it once more."""
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return "everybody"
    uid = os.geteuid()
    if uid == 0 and status.st_uid != 0:
        return f"user {user_name(status.st_uid)}"
    if uid != 0 and for_root():
        in_group = status.st_gid == os.getegid() or status.st_gid in os.getgroups()
        if status.st_uid == uid or (status.st_mode & stat.S_IWGRP and in_group):
            return f"the suite's own user {user_name(uid)}, and so by each of its tasks"
    return ""


def _places(settings: Settings) -> Iterator[Path]:
    base = settings.app.path
    if base is not None:
        yield base
    seen: set[Path] = set()
    for name in settings.app.modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if not isinstance(file, str) or base is None:
            continue
        path = Path(file)
        while path != base and path.is_relative_to(base) and path not in seen:
            seen.add(path)
            yield path
            path = path.parent
