"""A command of root's as a child that is not root: in a session of its own, so that it has no terminal to type into (TIOCSTI).

It holds no descriptor of root's: its input is empty, and what it prints comes through two pipes. Root's process passes that on
as text, passes signals on, and ends as the child has ended.
"""

from __future__ import annotations

import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import click

from warren import service
from warren.cli.user import User
from warren.errors import WarrenError
from warren.plain_text import Plain
from warren.process import die_with_parent, gain_nothing

#: What a child gets of root's environment: how its text is to look, and nothing that could decide what it does.
_LOOKS = ("LANG", "LANGUAGE", "TZ", "TERM", "COLORTERM", "NO_COLOR")
#: A daemon in the foreground gets all but what belongs to root's own session and interpreter.
_OF_ROOT = ("PYTHON", "LD_", "SSH_", "SUDO_", "XDG_", "DBUS_", "GPG_", "HOME", "USER", "LOGNAME", "MAIL", "SHELL", "WARREN_")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
#: Signals by which people end a command: whoever has called this one sees that it was ended so.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Seconds that importing the task modules may take; what else these verbs wait for has limits of its own.
PATIENCE = 120.0
#: Seconds between two looks at a child that says nothing: whether it was stopped.
_GLANCE = 1.0
#: Seconds for its end after SIGTERM, and after Ctrl-C.
_END = 5.0
#: Bytes: of one block, of the largest pipe (pipe(7)), of the largest answer that is kept.
_BLOCK, _FULL_PIPE, _LARGEST = 1 << 16, 1 << 20, 1 << 24


@dataclass(frozen=True)
class Terms:
    """What is granted to a child: `patience` in seconds, None without a limit; a `daemon` keeps the environment and setuid."""

    patience: float | None = None
    daemon: bool = False


def terms_of(verb: str, asked: Mapping[str, Any]) -> Terms:
    """Return what a verb needs. One that imports task modules, or asks others, ends in any case. Pure."""
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
    found |= {"PATH": _PATH, "HOME": user.home, "WARREN_FOR_ROOT": "1"}
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
    code = _Followed(process, terms.patience, terms.daemon).show(_Shown(sys.stdout), _Shown(sys.stderr))
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
    out = _Kept()
    process = _start(user, context, words, Terms(PATIENCE), shown=False)
    return _Followed(process, PATIENCE).show(out, _Kept() if quiet else _Shown(sys.stderr)), bytes(out.text)


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
        given, how = {"PATH": _PATH}, {}
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

    def limit() -> None:
        # Behind the change of user, which would forget it. A child of a root that was killed has nobody to show its text to.
        die_with_parent(signal.SIGTERM)
        if not daemon:  # the tasks of a daemon may need sudo or ping, as long as no unit forbids it
            gain_nothing()

    return limit


class _Kept:
    """What a child prints for root's process itself, up to a limit."""

    def __init__(self) -> None:
        self.text = bytearray()

    def write(self, data: bytes) -> None:
        """Keep a block."""
        if len(self.text) < _LARGEST:
            self.text += data

    def end(self) -> None:
        """Nothing is left."""


class _Shown:
    """What a child prints for people: passed on as plain text."""

    def __init__(self, stream: TextIO | None) -> None:
        self._out = getattr(stream, "buffer", None)  # None: whoever called has closed it
        self._plain = Plain()

    def write(self, data: bytes) -> None:
        """Show a block. Raises OSError."""
        self._put(self._plain.of(data))

    def end(self) -> None:
        """Show what was held back."""
        self._put(self._plain.rest())

    def _put(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)
            self._out.flush()


class _Followed:
    """A child, from its start to its end."""

    def __init__(self, process: subprocess.Popen[bytes], patience: float | None, daemon: bool = False) -> None:
        self._process = process
        self._patience = patience or 0.0
        self._deadline = None if patience is None else time.monotonic() + patience
        self._daemon = daemon
        self._interrupted = False
        self._kill_at = math.inf  # when it is killed that did not heed Ctrl-C
        self._handle = os.pidfd_open(process.pid)

    def show(self, out: Any, err: Any) -> int:
        """Pass on what it prints until it has ended; its exit code. Raises WarrenError when it takes too long."""
        before = {number: signal.signal(number, self._pass_on) for number in _PASSED_ON}
        try:
            self._pump({self._process.stdout: out, self._process.stderr: err})
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._end()
            os.close(self._handle)
        killed = self._interrupted and self._process.returncode == -signal.SIGKILL
        return -signal.SIGINT if killed else self._process.returncode

    def _pump(self, streams: dict[Any, Any]) -> None:
        with selectors.DefaultSelector() as looked_at:
            for pipe, out in streams.items():
                os.set_blocking(pipe.fileno(), False)
                looked_at.register(pipe, selectors.EVENT_READ, out)
            looked_at.register(self._handle, selectors.EVENT_READ)
            ended = False
            while not ended:
                for key, _ in looked_at.select(min(_GLANCE, self._left())):
                    if key.data is None:
                        ended = True
                    elif not _passed(key.fileobj, key.data):
                        looked_at.unregister(key.fileobj)
                self._wake()
                if time.monotonic() > self._kill_at:
                    self._send(signal.SIGKILL)
        # What it has started may hold the pipes for ever: with the child itself the text ends, but for what was in them.
        for pipe, out in streams.items():
            for _ in range(_FULL_PIPE // _BLOCK):
                if not _passed(pipe, out):
                    break
            out.end()

    def _wake(self) -> None:
        """Have it go on where a process of its user has stopped it: it has no terminal, so nobody means that."""
        with suppress(ChildProcessError, ProcessLookupError):  # it has ended
            if os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG) is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGCONT)

    def _left(self) -> float:
        """Return the seconds that it still has. Raises WarrenError when there are none."""
        left = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            text = f"the command was ended, for it took longer than {self._patience:g} s"
            raise WarrenError(f"{text}; does a task module hang while it is imported?")
        return left

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """What does not heed Ctrl-C is killed soon; a daemon, which may drain, at the second one."""
        if number == signal.SIGINT and self._interrupted:
            number = signal.SIGKILL
        if number == signal.SIGINT:
            self._interrupted = True
            self._kill_at = math.inf if self._daemon else time.monotonic() + _END
        self._send(number)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def _end(self) -> None:
        """End it, where it has not ended, and what it has left in its session. Its number is its own until it is waited for."""
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, number)
                _ended_within(self._handle, _END)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _ended_within(handle: int, seconds: float) -> None:
    with selectors.DefaultSelector() as looked_at:
        looked_at.register(handle, selectors.EVENT_READ)
        looked_at.select(seconds)


def _passed(pipe: Any, out: Any) -> bool:
    """Pass on a block of what is in a pipe; False when there is none, at its end."""
    try:
        data = os.read(pipe.fileno(), _BLOCK)
    except BlockingIOError:
        return False
    if data:
        out.write(data)
    return bool(data)
