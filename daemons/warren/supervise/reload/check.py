"""`warren check` in a process of its own.

The task modules may be anybody's code, and supervisord must not import them.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from warren.config import Settings
from warren.config.snapshot import ACCEPTED, STDIN
from warren.errors import ConfigError, Origin, Problem, WarrenError
from warren.runtime.own_command import own_command

#: Seconds that the import of the task modules may take.
TIMEOUT = 120.0
_LATE = (
    f"the check of the settings did not end within {TIMEOUT:g} s: does a task module hang at its "
    "import?"
)


def judge(code: int, output: bytes) -> None:
    """Return when `warren check --json` has found no problem.

    code: the check's exit code. output: what the check has printed.

    Raises ConfigError with all problems of the settings, WarrenError when the check itself failed.
    """
    lines = output.decode(errors="replace").splitlines()
    # A task module may print at its import.
    verdict = next((line for line in reversed(lines) if line.startswith("{")), "")
    try:
        problems = [_problem(each) for each in json.loads(verdict)["problems"]]
    except (ValueError, KeyError, TypeError, RecursionError):  # a task module may print anything
        raise WarrenError(
            f"warren check gave no verdict: exit code {code}; run warren check by hand to see why"
        ) from None
    if problems:
        raise ConfigError(problems)


def check(settings: Settings) -> None:
    """Return when these settings, as they were read, are right for their host.

    Raises ConfigError with all problems of the settings, WarrenError when the check itself failed
    or took too long.
    """
    try:
        done = subprocess.run(
            _command(settings),
            input=_text(settings),
            stdout=subprocess.PIPE,
            timeout=TIMEOUT,
            env=_environment(),
        )
    except subprocess.TimeoutExpired as error:
        raise WarrenError(_LATE) from error
    judge(done.returncode, done.stdout)


class Check:
    """`warren check` in parallel with supervisord's loop, which must continue.

    supervisord reaps every child process, and passes the exit status to the entry that its table of
    processes has for that process number. So the check is an entry of that table, and must not wait
    for itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._deadline = time.monotonic() + TIMEOUT
        # In memory, not through a pipe: the reader of a pipe may be slow, and supervisord's loop
        # must not wait for it.
        with open(os.memfd_create("settings"), "w+b") as text:
            text.write(_text(settings))
            text.seek(0)
            self._process = subprocess.Popen(
                _command(settings),
                stdin=text,
                stdout=subprocess.PIPE,
                bufsize=0,
                env=_environment(),
            )
        assert self._process.stdout is not None  # noqa: S101  the call above asks for the pipe
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._received = b""
        self._late = False
        self.pid = self._process.pid

    def finish(self, pid: int, status: int) -> None:
        """Take the exit status; supervisord calls this once it has reaped the check."""
        self._process.returncode = os.waitstatus_to_exitcode(status)

    def poll(self) -> bool:
        """Return whether the check has ended; call this until it returns True. Raises as `check`
        does.
        """
        while text := self._output.read(65536):  # None: no output yet
            self._received += text
        if self._process.returncode is None:
            if time.monotonic() > self._deadline:
                self._late = True
                os.kill(self.pid, 9)
            return False
        self._output.close()
        if self._late:
            raise WarrenError(_LATE)
        judge(self._process.returncode, self._received)
        return True


def begin_check(settings: Settings, children: dict[int, Any]) -> Check:
    """Start a check of settings; `children` is supervisord's table of processes."""
    check = Check(settings)
    children[check.pid] = check
    return check


def _command(settings: Settings) -> list[str]:
    return own_command(settings, "check", "--json")


def _text(settings: Settings) -> bytes:
    return replace(settings.accepted, generation=0).to_text().encode()


def _environment() -> dict[str, str]:
    return {**os.environ, ACCEPTED: str(STDIN)}


def _problem(fields: dict[str, Any]) -> Problem:
    origin = Origin(Path(fields["file"]) if fields["file"] else None, fields["line"])
    return Problem(
        origin, *(fields[name] for name in ("section", "option", "expected", "found", "remedy"))
    )
