"""`warren check` as a process of its own: the task modules are anybody's code and have no business in supervisord."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from warren.errors import ConfigError, Origin, Problem, WarrenError
from warren.supervise.lock import holder

#: Seconds that importing the task modules may take.
PATIENCE = 120.0


def check(folder: Path, host: str, like: int = 0) -> None:
    """Returns when the settings in `folder` are fine for the host.

    `like` is a process whose user and environment count instead of the caller's. Raises ConfigError with all problems of the
    settings, WarrenError when the check itself failed or took too long.
    """
    words, given = _words(folder, host), _standing_of(like) if like else {}
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE, **given)
    except subprocess.TimeoutExpired as error:
        raise WarrenError(f"warren check: expected an end within {PATIENCE:g} s; does a task module hang?") from error
    _judge(done.returncode, done.stdout)


def check_as_suite(run_dir: Path, folder: Path, host: str) -> None:
    """As `check`, with the user and in the environment of the suite that runs in `run_dir`; nothing is checked when none runs.

    What a drop-in of the unit sets is not in an operator's shell, and what root may read the suite may not.
    """
    try:
        suite = holder(run_dir)
    except OSError:
        return  # whoever may not look there is told so by what follows
    if suite > 0:
        check(folder, host, suite)


class Check:
    """The same beside supervisord's loop, which must go on.

    supervisord reaps every child there is, and hands the status to whoever stands in its table of processes under
    that number: the check stands there, and must not wait for itself.
    """

    def __init__(self, folder: Path, host: str) -> None:
        self._deadline = time.monotonic() + PATIENCE
        self._process = subprocess.Popen(_words(folder, host), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
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
        _judge(self._process.returncode, self._said)
        return True


def _standing_of(pid: int) -> dict[str, Any]:
    """User, groups and environment of a process, as subprocess takes them; nothing when it is gone or forbidden."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    environment = dict(word.split(b"=", 1) for word in words if b"=" in word)
    said = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    uid, gid = int(said["Uid"][1]), int(said["Gid"][1])  # the effective ones (proc(5))
    if os.geteuid() == uid:
        return {"env": environment}
    # Not in the caller's folder, which may be root's own.
    groups = [int(group) for group in said["Groups"]]
    return {"env": environment, "user": uid, "group": gid, "extra_groups": groups, "cwd": "/"}


def _words(folder: Path, host: str) -> list[str]:
    return [sys.executable, "-P", "-m", "warren", "--config", str(folder), "--host", host, "check", "--json"]


def _judge(code: int, said: bytes) -> None:
    lines = said.decode(errors="replace").splitlines()
    verdict = next((line for line in reversed(lines) if line.startswith("{")), "")  # a module may print at import
    if not verdict:
        raise WarrenError(f"warren check gave no verdict: exit code {code}; run it by hand to see why")
    problems = json.loads(verdict)["problems"]
    if problems:
        raise ConfigError([_problem(each) for each in problems])


def _problem(said: dict[str, Any]) -> Problem:
    origin = Origin(Path(said["file"]) if said["file"] else None, said["line"])
    return Problem(origin, *(said[name] for name in ("section", "option", "expected", "found", "remedy")))
