"""A command of root's as a child that is not root: in a session of its own, so that it has no terminal to type into (TIOCSTI).

It holds no descriptor of root's: its input is empty, and what it prints comes through two pipes. Root's process passes that on
as text, passes signals on, and ends as the child has ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from warren import service
from warren.cli.following import Followed, Kept, Shown
from warren.cli.importing import PATIENCE
from warren.cli.user import User
from warren.errors import WarrenError
from warren.process import die_with_parent, gain_nothing

#: What a child gets of root's environment: how its text is to look, and nothing that could decide what it does.
_LOOKS = ("LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "NO_COLOR")
#: A daemon in the foreground gets all but what belongs to root's own session and interpreter.
_OF_ROOT = ("PYTHON", "LD_", "SSH_", "SUDO_", "XDG_", "DBUS_", "GPG_", "HOME", "USER", "LOGNAME", "MAIL", "SHELL", "WARREN_")
#: Signals by which people end a command: whoever has called this one sees that it was ended so.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Terms:
    """What is granted to a child: `patience` in seconds, None without a limit; a `daemon` keeps the environment and setuid."""

    patience: float | None = None
    daemon: bool = False


def terms_of(verb: str, asked: Mapping[str, Any]) -> Terms:
    """Return what a verb needs. One that imports task modules, or asks others, ends in any case. Pure.

    The imports have PATIENCE; what else these verbs wait for has limits of its own.
    """
    if asked.get("user"):
        return Terms(daemon=True)
    if verb in ("check", "show-config", "status"):
        return Terms(PATIENCE)
    if verb == "call":
        return Terms(PATIENCE + (asked.get("wait") or 0.0))
    return Terms()


def environment(user: User, root: Mapping[str, str], size: os.terminal_size, shown: bool, daemon: bool) -> dict[str, str]:
    """Return the environment of a child. Nothing in it is the user's own. `shown`: root's output is a terminal. Pure."""
    if daemon:
        found = {name: value for name, value in root.items() if not name.startswith(_OF_ROOT)}
    else:
        found = {name: value for name, value in root.items() if name in _LOOKS or name.startswith("LC_")}
    found |= {"PATH": service.PATH, "HOME": user.home, "WARREN_FOR_ROOT": "1"}
    if user.name and not user.name.isdigit():
        found |= {"USER": user.name, "LOGNAME": user.name}
    if shown:
        found |= {"WARREN_TERMINAL": "stdout", "COLUMNS": str(size.columns), "LINES": str(size.lines)}
    return found


def take_environment(user: User) -> None:
    """Give this process the environment of a daemon of that user, which it is about to become."""
    found = environment(user, os.environ, shutil.get_terminal_size(), shown=False, daemon=True)
    os.environ.clear()
    os.environ.update(found)


def run(user: User, context: Mapping[str, Any], words: Sequence[str], terms: Terms) -> int:
    """Run `warren WORDS` as the user, and show it; the exit code. A signal by which people end commands ends this one, too."""
    shown = sys.stdout is not None and sys.stdout.isatty()
    if sys.stdout is not None:
        sys.stdout.flush()  # what was printed before comes before
    process = _start(user, context, words, terms, shown)
    code = Followed(process, terms.patience, terms.daemon).show(Shown(sys.stdout), Shown(sys.stderr))
    if -code in _ENDS:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code < 0:
        # Any process of that user may have sent it. Root does not die of it: a dump of root's memory would be left.
        click.echo(f"the command was ended by {_name(-code)}", err=True)
        return 128 - code  # as of a shell
    return code


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def said(user: User, context: Mapping[str, Any], words: Sequence[str], quiet: bool = False) -> tuple[int, bytes]:
    """Run `warren WORDS` as the user; its exit code, and its output. Its stderr is shown unless `quiet`."""
    out = Kept()
    process = _start(user, context, words, Terms(PATIENCE), shown=False)
    return Followed(process, PATIENCE).show(out, Kept() if quiet else Shown(sys.stderr)), bytes(out.text)


def _start(user: User, context: Mapping[str, Any], words: Sequence[str], terms: Terms, shown: bool) -> subprocess.Popen[bytes]:
    folder: Path = context["folder"].absolute()
    host = ("--host", context["host"]) if context["host"] else ()
    another = user.uid != os.geteuid()
    given = environment(user, os.environ, shutil.get_terminal_size(), shown, terms.daemon) if another else dict(os.environ)
    # -I for another user: neither the environment nor a folder of his is code.
    command = [sys.executable, "-I" if another else "-P", "-m", "warren", "--config", str(folder), *host, *words]
    how: dict[str, Any] = {"preexec_fn": _limits(terms.daemon), **_as_user(user)} if another else {}
    if another and words[0] == "check" and (sandbox := service.sandbox(folder, user.name, PATIENCE)):
        # With the unit's own environment, PYTHONPATH included: it is written by root. systemd gives up root's rights.
        looks = [f"--setenv={name}={value}" for name, value in given.items() if name not in ("PATH", "HOME", "USER", "LOGNAME")]
        command = [*sandbox, *looks, "--", sys.executable, "-P", *command[2:]]
        given, how = {"PATH": service.PATH}, {}
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=given,
            cwd="/",
            umask=0o027 if terms.daemon else 0o077,
            start_new_session=True,
            **how,
        )
    except OSError as error:
        raise WarrenError(
            f"the command cannot run as {user.name or user.uid}: {error.filename or sys.executable}: {error.strerror}; "
            f"install Warren where that user may run it, and call it as root with all of root's rights"
        ) from error
    except subprocess.SubprocessError as error:
        raise WarrenError(f"the command cannot run as {user.name or user.uid}: {error}") from error


def _as_user(user: User) -> dict[str, Any]:
    """The arguments of subprocess that make a child that user; for good, as no saved id is left."""
    return {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}


def _limits(daemon: bool) -> Callable[[], None]:
    import ctypes  # noqa: F401  of `process`, which in the child could not read it any more where only root may read Python

    parent = os.getpid()

    def limit() -> None:
        # Behind the change of user, which would forget it. A child of a root that was killed has nobody to show its text to.
        die_with_parent(signal.SIGTERM, parent)
        if not daemon:  # the tasks of a daemon may need sudo or ping, as long as no unit forbids it
            gain_nothing()

    return limit
