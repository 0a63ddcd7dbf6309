"""The user as whom a command runs, when the state of a suite belongs to another user."""

from __future__ import annotations

import os
from pathlib import Path

from warren.errors import Unavailable, WarrenError
from warren.system.users import own_name, take_rights, user_name, user_named


def uid_of(name: str) -> int:
    """Return the number of a user. Raises WarrenError."""
    user = user_named(name)
    if user is None:
        raise WarrenError(f"expected a user of this host, found {name!r}; make it, or name another")
    return user.uid


def become(name: str) -> None:
    """Give up root's rights permanently, and take the groups and the environment of the user.

    Does nothing for an empty name. Raises WarrenError.
    """
    if not name:
        return
    user = user_named(name)
    if user is None:
        raise WarrenError(
            f"--user: expected a user of this host, found {name!r}; make it, or name another"
        )
    if os.geteuid() == user.uid:
        return
    if os.geteuid() != 0:
        raise WarrenError(
            f"--user {name}: expected to be root, found user {os.geteuid()}; run this command as "
            f"root or as {name}"
        )
    take_rights(user)
    os.environ.update(HOME=user.home, USER=name, LOGNAME=name)


def not_root_for_another(state_dir: Path) -> None:
    """Refuse root when the state belongs to another user. Raises WarrenError.

    The suite of that user could not write to files that root makes in the state.
    """
    try:
        owner = state_dir.stat().st_uid
    except OSError:
        return  # the code that makes the directories reports this error, with the option's name
    if os.geteuid() != 0 or owner == 0:
        return
    name = user_name(owner)
    raise WarrenError(
        f"{state_dir}: a daemon may not run as root, because the directory is of user {name}; "
        f"call warren start, or add --user {name}"
    )


def may_write_state(state_dir: Path) -> None:
    """Check that a command may use the embedded broker.

    Raises Unavailable when this user may not write to the state. Also raises Unavailable when no
    suite has ever run: this command would make directories that could belong to the wrong user or
    have the wrong path.
    """
    try:
        owner = state_dir.stat().st_uid
    except FileNotFoundError:
        raise Unavailable(
            f"{state_dir}: expected the state of a suite, where its embedded broker is, found "
            "nothing there; start the suite once with warren start or warren supervise, or "
            "correct [app] state_dir"
        ) from None
    except PermissionError:
        raise Unavailable(f"permission denied: {state_dir}; run this command as root") from None
    name = user_name(owner)
    # Root acts here only when the state is root's own (cli/privileges.py). A suite of another user
    # could not read the files that root would leave in its state.
    if os.geteuid() == 0 != owner or not os.access(state_dir, os.W_OK | os.X_OK):
        raise Unavailable(
            f"{state_dir}: user {own_name()} cannot write there, and the embedded broker of "
            f"{name} is there; run this command as root{f' or as {name}' if owner else ''}"
        )
