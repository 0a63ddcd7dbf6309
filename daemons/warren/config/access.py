"""Who may read what the user of this process may not."""

from __future__ import annotations

import os
from pathlib import Path


def who_may(path: Path, *, secret: bool = False) -> str:
    """Return the remedy for a file or folder that may not be read, by owner and mode of what refuses; empty when nothing does.

    The suite itself gets the right to read it; anybody else is told who may. A `secret` is its reader's alone.
    """
    for each in (*reversed(path.parents), path):
        try:
            status = os.stat(each)
        except OSError:
            return ""  # it is not there, which is another matter
        needed = os.R_OK if each == path else os.X_OK
        folder = os.path.isdir(each)
        if os.access(each, needed | os.X_OK if folder else needed):
            continue
        if _is_suite():
            return _grant(each, folder, secret)
        owner = user_name(status.st_uid)
        who = [f"as {'user ' if owner.isdigit() else ''}{owner}"] if status.st_uid else []
        if status.st_gid and status.st_mode & needed << 3:
            who.append(f"as a member of group {_group(status.st_gid)}")
        return f"call it {' or '.join(['as root', *who])}"
    return ""


def _is_suite() -> bool:
    """Whether this process stands for the suite: in its unit, or as what root has asked in its name (cli/child.py)."""
    return "WARREN_BOOT_ID" in os.environ or "WARREN_FOR_ROOT" in os.environ


def _grant(path: Path, folder: bool, secret: bool) -> str:
    user = user_name(os.geteuid())
    if secret and not folder:
        return f"the suite runs as {user}: chown {user} {path}"
    if folder:
        return f"the suite runs as {user}: chmod o+rx {path}"
    group = _group(os.getegid())
    return f"the suite runs as {user}: chgrp {group} {path} && chmod g+r {path}"


def who_writes(path: Path) -> str:
    """Return the remedy for a folder that the user of this process may not write to."""
    if _is_suite():
        return f"the suite runs as {user_name(os.geteuid())}: chown {user_name(os.geteuid())}: {path}"
    return "run this command as the user of the suite, or give that user the folder"


def user_name(uid: int) -> str:
    """The user's name; the number of one that this host does not know."""
    import pwd  # with the other, only a refusal needs them

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
