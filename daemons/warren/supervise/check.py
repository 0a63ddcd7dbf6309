"""`warren check` as a process of its own: the task modules are anybody's code and have no business in supervisord."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from warren.config import Settings
from warren.config.accepted import ACCEPTED, STDIN
from warren.errors import ConfigError, Origin, Problem, WarrenError

#: Seconds that importing the task modules may take.
PATIENCE = 120.0


def judge(code: int, said: bytes) -> None:
    """Return when `warren check --json`, which ended with `code`, has said that all is fine.

    Raises ConfigError with all problems of the settings, WarrenError when the check itself failed.
    """
    lines = said.decode(errors="replace").splitlines()
    verdict = next((line for line in reversed(lines) if line.startswith("{")), "")  # a module may print at import
    try:
        problems = [_problem(each) for each in json.loads(verdict)["problems"]]
    except (ValueError, KeyError, TypeError, RecursionError):  # task modules run there, and may print anything
        raise WarrenError(f"warren check gave no verdict: exit code {code}; run it by hand to see why") from None
    if problems:
        raise ConfigError(problems)


def check(settings: Settings) -> None:
    """Return when these settings, as they were read, are fine for their host.

    Raises ConfigError with all problems of the settings, WarrenError when the check itself failed or took too long.
    """
    try:
        done = subprocess.run(
            _words(settings), input=_text(settings), stdout=subprocess.PIPE, timeout=PATIENCE, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise WarrenError(f"warren check: expected an end within {PATIENCE:g} s; does a task module hang?") from error
    judge(done.returncode, done.stdout)


class Check:
    """The same beside supervisord's loop, which must go on.

    supervisord reaps every child there is, and hands the status to whoever stands in its table of processes under
    that number: the check stands there, and must not wait for itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._deadline = time.monotonic() + PATIENCE
        # In memory, not through a pipe: its reader may be slow, and supervisord's loop must not wait for it.
        with open(os.memfd_create("settings"), "w+b") as text:
            text.write(_text(settings))
            text.seek(0)
            self._process = subprocess.Popen(_words(settings), stdin=text, stdout=subprocess.PIPE, bufsize=0, env=_environment())
        assert self._process.stdout is not None  # noqa: S101  it was asked for above
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._said = b""
        self._late = False
        self.pid = self._process.pid

    def finish(self, pid: int, status: int) -> None:
        """Called by supervisord once it has reaped the check."""
        self._process.returncode = os.waitstatus_to_exitcode(status)

    def poll(self) -> bool:
        """Whether the check has ended; to be asked until it has. Raises as `check` does."""
        while text := self._output.read(65536):  # None: nothing yet
            self._said += text
        if self._process.returncode is None:
            if time.monotonic() > self._deadline:
                self._late = True
                os.kill(self.pid, 9)
            return False
        self._output.close()
        if self._late:
            raise WarrenError(
                f"the check of the settings did not end within {PATIENCE:g} s: does a task module hang at its import?"
            )
        judge(self._process.returncode, self._said)
        return True


def _words(settings: Settings) -> list[str]:
    place = ["--config", str(settings.folder), "--host", settings.host]
    return [sys.executable, "-P", "-m", "warren", *place, "check", "--json"]


def _text(settings: Settings) -> bytes:
    return replace(settings.accepted, generation=0).to_text().encode()


def _environment() -> dict[str, str]:
    return {**os.environ, ACCEPTED: str(STDIN)}


def _problem(said: dict[str, Any]) -> Problem:
    origin = Origin(Path(said["file"]) if said["file"] else None, said["line"])
    return Problem(origin, *(said[name] for name in ("section", "option", "expected", "found", "remedy")))
