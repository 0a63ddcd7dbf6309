"""Which user a command runs as, where the state of a suite is another user's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from warren.config.access import user_name
from warren.errors import Unavailable, WarrenError


def become(user: str) -> None:
    """Gives up root's rights for good, with groups and environment of the user. Raises WarrenError."""
    if not user:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise WarrenError(f"--user: expected a user of this host, found {user!r}; make it, or name another") from None
    if os.geteuid() == entry.pw_uid:
        return
    if os.geteuid() != 0:
        raise WarrenError(f"--user {user}: expected to be root, found user {os.geteuid()}; call it as root or as {user}")
    # Not python-daemon's own: asked for the supplementary groups it leaves the group itself as root's.
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)


def not_root_for_another(state_dir: Path) -> None:
    """Refuses root where the state is another user's: what root makes there, that user's suite could not write to later."""
    try:
        owner = state_dir.stat().st_uid
    except OSError:
        return  # what is missing or cannot be reached is told, with its option, by who makes the folders
    if os.geteuid() != 0 or owner == 0:
        return
    name = user_name(owner)
    raise WarrenError(
        f"{state_dir}: expected to run as {name}, whose folder it is, found root; call warren start, or add --user {name}"
    )


def become_owner(state_dir: Path) -> None:
    """For a command that uses the embedded broker. Root becomes the user whose state it is: under a strict umask the suite could
    not read what root leaves there. Raises Unavailable for who may not write there, and where no suite has ever run: the
    folders that this command would make may be of the wrong user, or in the wrong place.
    """
    try:
        owner = state_dir.stat().st_uid
    except FileNotFoundError:
        raise Unavailable(
            f"{state_dir}: expected the state of a suite, where its embedded broker is, found nothing there; "
            "start the suite once with warren start or warren supervise, or correct [app] state_dir"
        ) from None
    except PermissionError:
        raise Unavailable(f"permission denied: {state_dir}; run it as root") from None
    name = user_name(owner)
    if os.geteuid() == 0:
        become("" if name == str(owner) else name)  # a number without a name is nobody that one could become
    elif not os.access(state_dir, os.W_OK | os.X_OK):
        raise Unavailable(
            f"{state_dir}: expected to be allowed to write there, where the embedded broker of {name} is, found user "
            f"{user_name(os.geteuid())}; call it as root{f' or as {name}' if owner else ''}"
        )
