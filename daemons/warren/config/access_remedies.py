"""Remedies for paths that the user of this process may not read or write."""

from __future__ import annotations

import os
from pathlib import Path

from warren.system.users import group_name, own_name, user_name


def who_may(path: Path, *, secret: bool = False) -> str:
    """Return the remedy for a path that this process may not read; empty if the process may read
    it.

    The remedy follows from the owner and the mode of the path that refuses the access: the path
    itself, or a directory above it. For the suite the remedy grants the right to read the path. For
    any other user the remedy names the users who may read the path.

    secret: whether no user but the reader may have access to the path.
    """
    for each in (*reversed(path.parents), path):
        try:
            status = os.stat(each)
        except OSError:
            return ""  # the path does not exist, which is another problem
        needed = os.R_OK if each == path else os.X_OK
        directory = os.path.isdir(each)
        if os.access(each, needed | os.X_OK if directory else needed):
            continue
        if _is_suite():
            return _grant(each, directory, secret)
        owner = user_name(status.st_uid)
        who = [f"as {'user ' if owner.isdigit() else ''}{owner}"] if status.st_uid else []
        if status.st_gid and status.st_mode & needed << 3:
            who.append(f"as a member of group {group_name(status.st_gid)}")
        return f"run this command {' or '.join(['as root', *who])}"
    return ""


def _is_suite() -> bool:
    """Return whether this process acts for the suite.

    A process does so in the suite's unit, and as a child of a root command
    (cli/unprivileged_child.py).
    """
    return "WARREN_BOOT_ID" in os.environ or "WARREN_FOR_ROOT" in os.environ


def _grant(path: Path, directory: bool, secret: bool) -> str:
    user = own_name()
    if secret and not directory:
        return f"the suite runs as {user}: chown {user} {path}"
    if directory:
        return f"the suite runs as {user}: chmod o+rx {path}"
    group = group_name(os.getegid())
    return f"the suite runs as {user}: chgrp {group} {path} && chmod g+r {path}"


def who_writes(path: Path) -> str:
    """Return the remedy for a directory that the user of this process may not write to."""
    if _is_suite():
        return f"the suite runs as {own_name()}: chown {own_name()}: {path}"
    return "run this command as the user of the suite, or give that user the directory"
