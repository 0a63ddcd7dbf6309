"""Checks of the directories that the settings name, against the directories of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from warren.config.access_remedies import who_may, who_writes
from warren.config.settings import Settings
from warren.errors import Problem
from warren.system.users import mode_text, own_name, user_name

_DIRECTORIES = ("state_dir", "log_dir", "run_dir")
#: The most bytes of the socket's path. unix(7) allows 107. But supervisord first binds a socket
#: whose name has its process number at the end.
_LONGEST_SOCKET = 99
HIDDEN = "the unit hides /home, /root and /run/user from the suite: put the code below /srv or /opt"


def check(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each path that is wrong for any user."""
    for option in (*_DIRECTORIES, "path"):
        directory: Path | None = getattr(settings.app, option)
        if directory is None:
            continue
        exists = os.path.lexists(directory)
        nearest = next(each for each in (directory, *directory.parents) if os.path.lexists(each))
        origin = settings.origin("app", option)
        if not os.path.isdir(nearest):
            yield Problem(origin, "app", option, "a directory", f"{nearest}, which is none")
        elif option == "path" and not exists:
            remedy = HIDDEN if in_a_home(directory) else who_may(directory.parent)
            yield Problem(
                origin,
                "app",
                option,
                "a directory that holds the modules",
                f"nothing at {directory}",
                remedy,
            )
    socket = settings.app.run_dir / "supervisor.sock"
    length = len(os.fsencode(socket))
    if length > _LONGEST_SOCKET:
        expected = (
            f"a directory so short that its supervisor.sock has at most {_LONGEST_SOCKET} bytes"
        )
        yield Problem(
            settings.origin("app", "run_dir"), "app", "run_dir", expected, f"{length} bytes"
        )


def in_a_home(path: Path) -> bool:
    """Return whether the path is below a home directory.

    ProtectHome= of the unit hides home directories from the suite (systemd.exec(5)).
    """
    return any(path.is_relative_to(home) for home in ("/home", "/root", "/run/user"))


def suite_of_another(settings: Settings) -> str:
    """Return the suite's user when this process has another user and only reads; else empty.

    The suite's user is the owner of the state directory, because that user must be able to write
    there. Returns an empty text also when the owner is root, or when this process may write to the
    directory.
    """
    state_dir = settings.app.state_dir
    try:
        owner = state_dir.stat().st_uid
    except OSError:
        return ""
    another = owner not in (0, os.geteuid()) and not os.access(state_dir, os.W_OK | os.X_OK)
    return user_name(owner) if another else ""


def check_directories(settings: Settings) -> list[Problem]:
    """Return a problem for each existing directory that this process's user may not write to.

    This is separate from `check`, because the user who reads the settings need not be the suite's
    user.
    """
    problems = []
    for option in _DIRECTORIES:
        directory: Path = getattr(settings.app, option)
        if os.path.isdir(directory) and not os.access(directory, os.W_OK | os.X_OK):
            status = directory.stat()
            found = (
                f"{directory} of the user {user_name(status.st_uid)}, mode "
                f"{mode_text(status.st_mode)}"
            )
            expected = f"a directory that the user {own_name()} may write to"
            problems.append(
                Problem(
                    settings.origin("app", option),
                    "app",
                    option,
                    expected,
                    found,
                    who_writes(directory),
                )
            )
    return problems
