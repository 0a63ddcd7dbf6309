"""The heartbeat file of a daemon: written by its own main loop, with what proves that it works."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warren import run_file
from warren.process import Process, this
from warren.run_file import now
from warren.shape import NUMBER

#: A heart older than this (seconds) does not count as beating.
STALE = 10.0
#: The states of a daemon that does its work; a beat that stands by does.
AT_WORK = ("ready", "standby")


@dataclass(frozen=True)
class Beat:
    """What a heartbeat file said. `at` is in seconds of CLOCK_BOOTTIME, as is `since`, when `state` began; `evidence` is what the
    daemon adds for people. `mark` differs from that of the beat before, also when that beat could not be written and only touched
    the file.
    """

    program: str
    process: Process
    at: float
    since: float
    state: str
    evidence: dict[str, Any]
    mark: tuple[float, int] = (0.0, 0)

    @property
    def age(self) -> float:
        """Seconds since the main loop last showed life."""
        return run_file.silence(self.at, self.mark[1])


class Heart:
    """Writes run_dir/heart/PROGRAM.json. States: starting, connecting, ready, standby (a beat that does not lead), stopping."""

    def __init__(self, run_dir: Path, program: str) -> None:
        self.path = run_dir / "heart" / f"{program}.json"
        self.program = program
        self._state, self._since = "", 0.0

    def beat(self, state: str, **evidence: Any) -> bool:
        """Writes one beat, whole or not at all; False when the folder cannot be written, which must not end the daemon."""
        me, at = this(), now()
        if state != self._state:
            self._state, self._since = state, at
        who = {"program": self.program, "pid": me.pid, "start": me.start}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            run_file.write(self.path, {**who, "at": at, "state": state, "since": self._since, "evidence": evidence})
        except OSError:  # the last beat was touched
            return False
        return True

    def stop(self) -> None:
        """Takes the file away: a daemon that ended in order has no heart to be missed."""
        with suppress(OSError):
            self.path.unlink()


def read(run_dir: Path) -> dict[str, Beat]:
    """The last beat of every program of this host, by program; empty when this user may not look."""
    with suppress(OSError):  # glob passes over a folder that is missing, and raises at one that is forbidden
        paths = sorted((run_dir / "heart").glob("*.json"))
        return {beat.program: beat for beat in map(_read, paths) if beat is not None}
    return {}


def _read(path: Path) -> Beat | None:
    found = run_file.read(path, program=str, pid=int, start=int, since=NUMBER, state=str, evidence=dict)
    said = found.said
    if said is None:  # gone between the listing and now, or not ours
        return None
    process, mark = Process(said["pid"], said["start"]), (said["at"], found.stamp)
    return Beat(said["program"], process, said["at"], said["since"], said["state"], said["evidence"], mark)
