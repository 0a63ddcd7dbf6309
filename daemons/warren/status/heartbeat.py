"""The heartbeat file of a daemon: written by its own main loop, with what proves that it works."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warren.status import status_file
from warren.status.status_file import now
from warren.status.validation import NUMBER, Shape
from warren.system.process import Process, this
from warren.system.regular_file import TooLarge, clear_place

#: A heart older than this (seconds) does not count as beating.
STALE = 10.0
#: The states of a daemon that does its work; a beat that stands by does.
AT_WORK = ("ready", "standby")
#: What the daemons add for people and for supervise, where they add it; other things may stand beside it.
EVIDENCE: Shape = {
    "queues?": [str],
    "paused?": [str],
    "cancelled?": [str],
    "running?": int,
    "concurrency?": int,
    "taken?": int,
    "begun?": int,
    "rejected?": int,
    "storing_s?": int,
    "reloads?": int,
    "generation?": int,
    "unsettled?": [str],
    "leading?": bool,
    "entries?": [str],
    "quotas?": [str],
    "refused?": str,
    "oldest?": [{"id": str, "task": str, "since": NUMBER}],
    "busy_since?": (*NUMBER, None),
    "importing?": str,
    "children?": int,
}


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
        return status_file.silence(self.at, self.mark[1])


class Heart:
    """Writes run_dir/heart/PROGRAM.json. States: starting, connecting, ready, standby (a beat that does not lead), stopping."""

    def __init__(self, run_dir: Path, program: str) -> None:
        self.path = run_dir / "heart" / f"{program}.json"
        self.program = program
        self.generation = 0  # of the settings that the daemon has taken up
        self._state, self._since = "", 0.0

    def beat(self, state: str, **evidence: Any) -> bool:
        """Writes one beat, whole or not at all; False when the folder cannot be written, which must not end the daemon."""
        me, at = this(), now()
        if state != self._state:
            self._state, self._since = state, at
        who = {"program": self.program, "pid": me.pid, "start": me.start}
        try:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:  # a task has put something else in its place
                clear_place(self.path.parent, stat.S_ISDIR)
                self.path.parent.mkdir()
            said = {**who, "at": at, "state": state, "since": self._since}
            order = {"generation": self.generation}
            try:
                status_file.write(self.path, {**said, "evidence": {**evidence, **order}})
            except TooLarge:  # no reader would take it; that the daemon lives matters more than what it adds
                status_file.write(self.path, {**said, "evidence": order})
        except OSError:  # the last beat was touched
            return False
        return True

    def stop(self) -> None:
        """Takes the file away: a daemon that ended in order has no heart to be missed."""
        with suppress(OSError):
            self.path.unlink()


@dataclass(frozen=True)
class Hearts:
    """The last beat of each program that has one, and why that of another could not be read, both by program."""

    beats: dict[str, Beat] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


def read(run_dir: Path, programs: Iterable[str]) -> Hearts:
    """Return the hearts of these programs of this host; a program without a heart is in neither of its parts.

    Only the files of these are opened, however many others somebody has put there. Raises nothing.
    """
    found = {program: _read(run_dir, program) for program in programs}
    return Hearts(
        {program: beat for program, beat in found.items() if isinstance(beat, Beat)},
        {program: trouble for program, trouble in found.items() if isinstance(trouble, str)},
    )


def _read(run_dir: Path, program: str) -> Beat | str | None:
    if "/" in program or "\0" in program:  # a program of supervisord's own files may have any name, and such a one no heart
        return None
    path = run_dir / "heart" / f"{program}.json"
    found = status_file.read(path, program={program}, pid=int, start=int, since=NUMBER, state=str, evidence=EVIDENCE)
    said = found.said
    if said is None:
        return None if found.missing else found.trouble
    process, mark = Process(said["pid"], said["start"]), (said["at"], found.stamp)
    return Beat(program, process, said["at"], said["since"], said["state"], said["evidence"], mark)
