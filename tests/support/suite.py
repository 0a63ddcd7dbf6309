"""A configuration in a scratch directory, and the real commands run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.servers import WITH_THE_RUN
from support.wait import TIMEOUT, end_of, run_to_end, until
from warren.system.process import Process, process_of

#: The command as installed beside the interpreter that runs the tests.
WARREN = Path(sys.executable).with_name("warren")
#: What the processes of the tests get of the environment: nothing of the caller's may change what
#: they do.
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


class Suite:
    """The suite of one scratch directory.

    directory/etc is its configuration, directory/{state,log,run} are its other directories.
    """

    def __init__(self, directory: Path, ini: str, modules: str = "") -> None:
        self.directory = directory
        self.etc = directory / "etc"
        self.etc.mkdir(parents=True, exist_ok=True)
        (directory / "app").mkdir(exist_ok=True)
        self.head = (
            f"[app]\npath = {directory}/app\nmodules = {modules}\n"
            f"state_dir = {directory}/state\nlog_dir = {directory}/log\nrun_dir = {directory}/run\n"
        )
        self.write(ini)

    def write(self, ini: str) -> None:
        """Replaces warren.ini; the [app] section with the directories stands before `ini`."""
        # the machine may be busy
        timeout = "" if "start_timeout" in ini else "[supervise]\nstart_timeout = 5m\n"
        (self.etc / "conf.d").mkdir(exist_ok=True)
        (self.etc / "conf.d" / "patience.ini").write_text(timeout, encoding="utf-8")
        (self.etc / "warren.ini").write_text(self.head + ini, encoding="utf-8")

    def module(self, name: str, text: str) -> None:
        """Writes a module of the app."""
        (self.directory / "app" / f"{name}.py").write_text(text, encoding="utf-8")

    # -- commands ----------------------------------------------------------------------------------

    def warren(self, *arguments: str, within: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
        """Runs `warren WORDS` to its end."""
        command = [str(WARREN), "--config", str(self.etc), *arguments]
        return run_to_end(command, env=ENVIRONMENT, capture_output=True, within=within)

    @contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `warren WORDS` in a session of its own.

        It is ended with everything it started when the block ends.
        """
        command = [str(WARREN), "--config", str(self.etc), *arguments]
        self.directory.joinpath("out").mkdir(exist_ok=True)
        with open(self.directory / "out" / f"{'-'.join(arguments)}", "ab") as out:
            started = subprocess.Popen(
                command,
                env=ENVIRONMENT | environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=WITH_THE_RUN,
            )
        try:
            yield started
        finally:
            end(started)

    def output(self, *arguments: str) -> str:
        """What a running command has printed."""
        return (self.directory / "out" / f"{'-'.join(arguments)}").read_text(encoding="utf-8")

    def status(self) -> dict[str, Any] | None:
        """`warren status --json`; None while the suite cannot be asked."""
        asked = self.warren("status", "--json")
        return json.loads(asked.stdout) if asked.stdout.startswith("{") else None

    def ready(self) -> bool:
        """Whether every program does its work."""
        return bool((self.status() or {}).get("ready"))

    # -- what can be seen --------------------------------------------------------------------------

    def log(self, daemon: str) -> list[dict[str, Any]]:
        """Every line of a daemon's log.

        One that is neither JSON nor blank fails here; one still being written is no line yet.
        """
        path = self.directory / "log" / f"{daemon}.log"
        if not path.exists():
            return []
        text = path.read_text(encoding="utf-8")
        return [
            json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()
        ]

    def logged(self, daemon: str, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The lines of one event that have these fields."""
        return [
            line
            for line in self.log(daemon)
            if line["event"] == event and all(line.get(k) == v for k, v in fields.items())
        ]

    def await_event(
        self, daemon: str, event: str, within: float = TIMEOUT, **fields: Any
    ) -> dict[str, Any]:
        """The first such line, as soon as it is there."""
        return until(
            lambda: self.logged(daemon, event, **fields),
            within,
            f"{event} {fields} in {daemon}.log",
        )[0]

    def heartbeat(self, program: str) -> dict[str, Any] | None:
        """The heartbeat file of a program."""
        try:
            said: dict[str, Any] = json.loads(
                (self.directory / "run" / "heartbeats" / f"{program}.json").read_text(
                    encoding="utf-8"
                )
            )
        except (OSError, ValueError):
            return None
        return said


def broker_section(directory: Path, url: str) -> str:
    """The section [broker] for this URL, which lies in a secret file in the directory."""
    secret = directory / "url"
    secret.touch(mode=0o600)
    secret.write_text(url, encoding="utf-8")
    return f"[broker]\nurl_file = {secret}\n"


def end(started: subprocess.Popen[bytes]) -> None:
    """Ends a command and all that it started: each process is known by its number and its start."""
    family = descendants(started.pid)
    if started.poll() is None:
        started.terminate()
    try:
        end_of(started)
    except subprocess.TimeoutExpired:
        started.kill()
        end_of(started)
    for member in family:
        if member.alive:
            os.kill(member.pid, signal.SIGKILL)


def descendants(pid: int) -> list[Process]:
    """The process and all that descend from it, itself first."""
    me = process_of(pid)
    found = [me] if me else []
    for child in children(pid):
        found += descendants(child)
    return found


def children(pid: int) -> list[int]:
    """The numbers of the processes that it started and that still run."""
    try:
        return [
            int(word)
            for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        ]
    except OSError:
        return []
