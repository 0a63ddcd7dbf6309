"""Checks who may change the code of the tasks.

A user who may change the code can act as the suite's user. A task that may change the code can act
as every other task.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from warren.cli.privileges import for_root
from warren.config import Settings
from warren.system.users import user_name


def writable_code(settings: Settings) -> list[str]:
    """Return a sentence for each file and directory of imported modules that others may write to.

    "Others" always includes everybody. When root called this command, "others" includes the suite's
    own user; when the suite runs as root, it includes every owner but root. A developer who calls
    this command owns the code, and is not warned of that.
    """
    found: list[str] = []
    for path in _paths(settings):
        try:
            status = os.stat(path)
        except OSError:
            continue
        who = _writers(status)
        if who:
            found.append(
                f"{path} may be written to by {who}, and the suite then runs that code; chown "
                f"root {path}, chmod go-w"
            )
    return found


def _writers(status: os.stat_result) -> str:
    """Return who else may write there; empty when nobody else may.

    Root may always write, and so may an owner who is trusted. Only the owner and the mode count,
    even if the unit forbids writing in addition.
    """
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


def _paths(settings: Settings) -> Iterator[Path]:
    base = settings.app.path
    if base is not None:
        yield base
    seen: set[Path] = set()
    for name in (*settings.app.modules, (settings.app.celery or "").partition(":")[0]):
        file = getattr(sys.modules.get(name), "__file__", None)
        if not isinstance(file, str) or base is None:
            continue
        path = Path(file)
        while path != base and path.is_relative_to(base) and path not in seen:
            seen.add(path)
            yield path
            path = path.parent
