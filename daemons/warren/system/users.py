"""Users and groups of this host: their numbers, names and rights, and the mode of a file as text.

All other rooms use this file, so that a user has the same name in all messages.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class User:
    """A user by number, with the user's name and groups. A number without a name is valid."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = "/"


def user_of(uid: int) -> User:
    """Return the user with this number, with the user's groups."""
    try:
        return _user(pwd.getpwuid(uid))
    except KeyError:
        return User(uid, uid, name=str(uid))


def user_named(name: str) -> User | None:
    """Return the user with this name; None when this host does not know the name."""
    try:
        return _user(pwd.getpwnam(name))
    except KeyError:
        return None


def user_name(uid: int) -> str:
    """Return the name of the user, or the number as text when this host does not know the user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def own_name() -> str:
    """Return the name of the user of this process, as `user_name` does.

    Only the user's rights count, so no variable of the environment is read: under sudo and after
    `--user`, USER may still name another user.
    """
    return user_name(os.geteuid())


def group_name(gid: int) -> str:
    """Return the name of the group, or the number as text when the host does not know it."""
    import grp  # imported here because only a refusal needs this library

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def take_rights(user: User) -> None:
    """Give up root's rights permanently; take the number and the groups of the user.

    Raises OSError (EPERM) unless this process is root's. python-daemon's own function is not used:
    when it sets the supplementary groups, the process keeps root's primary group.
    """
    os.setgroups(user.groups)
    os.setgid(user.gid)
    os.setuid(user.uid)


@contextmanager
def acting_as(user: User) -> Iterator[None]:
    """If this process is root's, take number and groups of the user for the block.

    Only Warren's own code may run in the block, because the process can become root again.
    """
    if os.geteuid() != 0 or user.uid == 0:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(user.groups)
        os.setegid(user.gid)
        os.seteuid(user.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def mode_text(mode: int) -> str:
    """Return the permissions of an st_mode as chmod takes them, such as "0640"."""
    return f"{stat.S_IMODE(mode):04o}"


def _user(entry: pwd.struct_passwd) -> User:
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return User(entry.pw_uid, entry.pw_gid, tuple(groups), entry.pw_name, entry.pw_dir)
