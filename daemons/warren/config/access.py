"""Who may read what the user of this process may not."""

from __future__ import annotations

import os
from pathlib import Path


def who_may(path: Path) -> str:
    """The remedy for a file or folder that may not be read, by owner and mode of what refuses; empty when nothing does."""
    for each in (*reversed(path.parents), path):
        try:
            status = os.stat(each)
        except OSError:
            return ""  # it is not there, which is another matter
        needed = os.R_OK if each == path else os.X_OK
        if os.access(each, needed | os.X_OK if os.path.isdir(each) else needed):
            continue
        owner = user_name(status.st_uid)
        who = [f"as {'user ' if owner.isdigit() else ''}{owner}"] if status.st_uid else []
        if status.st_gid and status.st_mode & needed << 3:
            who.append(f"as a member of group {_group(status.st_gid)}")
        return f"call it {' or '.join(['as root', *who])}"
    return ""


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
