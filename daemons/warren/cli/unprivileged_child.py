"""A command of root that runs as another user, in a child process.

The child has a session of its own, so that it cannot type into root's terminal (TIOCSTI). It holds
no descriptor of root: its input is empty, and its output comes through two pipes. Root's process
passes the output on as text, passes signals on, and ends in the same way as the child.
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

from warren.cli.child_output import Followed, Kept, Shown
from warren.cli.import_notice import TIMEOUT
from warren.control import service, unit_sandbox
from warren.errors import WarrenError
from warren.system.process import die_with_parent, gain_nothing
from warren.system.users import User

#: The variables of root's environment that a child gets. They decide how the child's text looks,
#: and not what the child does.
_LOOKS = ("LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "NO_COLOR")
#: The variables of root's own session and interpreter. A daemon in the foreground gets all other
#: variables.
_OF_ROOT = (
    "PYTHON",
    "LD_",
    "SSH_",
    "SUDO_",
    "XDG_",
    "DBUS_",
    "GPG_",
    "HOME",
    "USER",
    "LOGNAME",
    "MAIL",
    "SHELL",
    "WARREN_",
)
#: Signals by which people end a command. When such a signal ends the child, the caller of this
#: command must see that.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class ChildLimits:
    """The limits of a child.

    timeout: seconds; None: no limit. daemon: whether the child is a daemon, which keeps the
    environment and may run setuid programs.
    """

    timeout: float | None = None
    daemon: bool = False


def limits_of(verb: str, asked: Mapping[str, Any]) -> ChildLimits:
    """Return the limits of a verb. Pure.

    A verb that imports task modules, or waits for other processes, must end in any case. The
    imports end after TIMEOUT seconds. Each other wait of these verbs has a timeout of its own.
    """
    if asked.get("user"):
        return ChildLimits(daemon=True)
    if verb in ("check", "show-config", "status"):
        return ChildLimits(TIMEOUT)
    if verb == "call":
        return ChildLimits(TIMEOUT + (asked.get("wait") or 0.0))
    return ChildLimits()


def environment(
    user: User, root: Mapping[str, str], size: os.terminal_size, shown: bool, daemon: bool
) -> dict[str, str]:
    """Return the environment of a child. It holds nothing of the user's own. Pure.

    shown: whether root's output is a terminal.
    """
    if daemon:
        found = {name: value for name, value in root.items() if not name.startswith(_OF_ROOT)}
    else:
        found = {
            name: value for name, value in root.items() if name in _LOOKS or name.startswith("LC_")
        }
    found |= {"PATH": service.PATH, "HOME": user.home, "WARREN_FOR_ROOT": "1"}
    if user.name and not user.name.isdigit():
        found |= {"USER": user.name, "LOGNAME": user.name}
    if shown:
        found |= {
            "WARREN_TERMINAL": "stdout",
            "COLUMNS": str(size.columns),
            "LINES": str(size.lines),
        }
    return found


def take_environment(user: User) -> None:
    """Give this process the environment of a daemon of this user.

    The process becomes this user afterwards.
    """
    found = environment(user, os.environ, shutil.get_terminal_size(), shown=False, daemon=True)
    os.environ.clear()
    os.environ.update(found)


def run(
    user: User, context: Mapping[str, Any], arguments: Sequence[str], limits: ChildLimits
) -> int:
    """Run `warren WORDS` as the user, show its output and return its exit code.

    When one of the signals by which people end commands has ended the child, the same signal ends
    this process.
    """
    shown = sys.stdout is not None and sys.stdout.isatty()
    if sys.stdout is not None:
        sys.stdout.flush()  # earlier output must appear before the child's
    process = _start(user, context, arguments, limits, shown)
    code = Followed(process, limits.timeout, limits.daemon).show(
        Shown(sys.stdout), Shown(sys.stderr)
    )
    if -code in _ENDS:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code < 0:
        # Any process of that user may have sent the signal. Root's process must not die of the
        # signal: that could leave a dump of root's memory.
        click.echo(f"the command was ended by {_name(-code)}", err=True)
        return 128 - code  # a shell returns the same code
    return code


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def said(
    user: User, context: Mapping[str, Any], arguments: Sequence[str], quiet: bool = False
) -> tuple[int, bytes]:
    """Run `warren WORDS` as the user, and return its exit code and its output.

    quiet: do not show the child's stderr.
    """
    out = Kept()
    process = _start(user, context, arguments, ChildLimits(TIMEOUT), shown=False)
    return Followed(process, TIMEOUT).show(out, Kept() if quiet else Shown(sys.stderr)), bytes(
        out.text
    )


def _start(
    user: User,
    context: Mapping[str, Any],
    arguments: Sequence[str],
    limits: ChildLimits,
    shown: bool,
) -> subprocess.Popen[bytes]:
    directory: Path = context["directory"].absolute()
    another = user.uid != os.geteuid()
    given = (
        environment(user, os.environ, shutil.get_terminal_size(), shown, limits.daemon)
        if another
        else dict(os.environ)
    )
    command = _command(directory, context["host"], arguments, isolated=another)
    how: dict[str, Any] = (
        {"preexec_fn": _limits(limits.daemon), **_as_user(user)} if another else {}
    )
    if (
        another
        and arguments[0] == "check"
        and (sandbox := unit_sandbox.sandbox(directory, user.name, TIMEOUT))
    ):
        # The sandbox has the unit's environment with PYTHONPATH, which is safe because root writes
        # the unit. systemd gives up root's rights.
        looks = [
            f"--setenv={name}={value}"
            for name, value in given.items()
            if name not in ("PATH", "HOME", "USER", "LOGNAME")
        ]
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
            umask=0o027 if limits.daemon else 0o077,
            start_new_session=True,
            **how,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _cannot_run(user, error) from error


def _command(
    directory: Path, host: str | None, arguments: Sequence[str], isolated: bool
) -> list[str]:
    # For another user, -I: Python then takes no code from the environment or from a directory of
    # that user.
    python = [sys.executable, "-I" if isolated else "-P", "-m", "warren"]
    return [*python, "--config", str(directory), *(("--host", host) if host else ()), *arguments]


def _cannot_run(user: User, error: OSError | subprocess.SubprocessError) -> WarrenError:
    failed = f"the command cannot run as {user.name or user.uid}"
    if not isinstance(error, OSError):
        return WarrenError(f"{failed}: {error}")
    return WarrenError(
        f"{failed}: {error.filename or sys.executable}: {error.strerror}; install Warren where "
        "that user may run it, and run this command as root with every capability of root"
    )


def _as_user(user: User) -> dict[str, Any]:
    """Return the arguments of subprocess that make a child that user.

    The change is permanent, because no saved id is left.
    """
    return {"user": user.uid, "group": user.gid, "extra_groups": list(user.groups)}


def _limits(daemon: bool) -> Callable[[], None]:
    # `process` needs ctypes in the child. The child cannot import it where only root may read
    # Python.
    import ctypes  # noqa: F401

    parent = os.getpid()

    def limit() -> None:
        # This runs after the change of user, because the change would reset it. When the parent is
        # killed, no process shows the child's output any more, so the child ends.
        die_with_parent(signal.SIGTERM, parent)
        if not daemon:  # the tasks of a daemon may need sudo or ping, unless the unit forbids these
            gain_nothing()

    return limit
