"""Which user a command runs as, where the state of a suite is another user's."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from warren.config.access import user_name
from warren.errors import Unavailable, WarrenError


@dataclass(frozen=True)
class User:
    """A user by number: what of it has a name is found by that number, and one without a name is a user, too."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = "/"


def user_of(uid: int) -> User:
    """Return the user with this number, and its groups."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(uid, uid, name=str(uid))
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(uid, entry.pw_gid, tuple(groups), entry.pw_name, entry.pw_dir)


def uid_of(name: str) -> int:
    """Return the number of a user. Raises WarrenError."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise WarrenError(f"expected a user of this host, found {name!r}; make it, or name another") from None


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


def may_write_state(state_dir: Path) -> None:
    """Check that a command may use the embedded broker. Raises Unavailable for who may not write there, and where no suite has
    ever run: the folders that this command would make may be of the wrong user, or in the wrong place.
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
    # Root is here where the state is root's own (cli/as_owner.py): what it left in another's, that suite could not read.
    if os.geteuid() == 0 != owner or not os.access(state_dir, os.W_OK | os.X_OK):
        raise Unavailable(
            f"{state_dir}: expected to be allowed to write there, where the embedded broker of {name} is, found user "
            f"{user_name(os.geteuid())}; call it as root{f' or as {name}' if owner else ''}"
        )
