"""The heartbeat file of a daemon.

The main loop writes the file, with details that show that the loop works.
"""

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
from warren.system.process import Process, current_process
from warren.system.regular_file import TooLarge, clear_path

#: The details that daemons add for people and for supervise. Each of them may be absent, and there
#: may be details that are not in this list.
DETAILS: Shape = {
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
    "entries?": int,
    "quotas?": [str],
    "refused?": str,
    "oldest?": [{"id": str, "task": str, "since": NUMBER}],
    "busy_since?": (*NUMBER, None),
    "importing?": str,
    "children?": int,
}


@dataclass(frozen=True)
class Heartbeat:
    """The content of a heartbeat file.

    at: when the heartbeat was written. since: when `state` began. Both are in seconds of
    CLOCK_BOOTTIME. details: what the daemon adds for people. mark: differs from the mark of the
    heartbeat before, also when the daemon could not write the file and only touched it.
    """

    program: str
    process: Process
    at: float
    since: float
    state: str
    details: dict[str, Any]
    mark: tuple[float, int] = (0.0, 0)

    @property
    def age(self) -> float:
        """Return the seconds since the main loop last gave a sign of life."""
        return status_file.silence(self.at, self.mark[1])


class HeartbeatWriter:
    """The writer of run_dir/heartbeats/PROGRAM.json.

    The states are starting, connecting, ready, standby (a beat that does not lead) and stopping.
    """

    def __init__(self, run_dir: Path, program: str) -> None:
        self.path = run_dir / "heartbeats" / f"{program}.json"
        self.program = program
        self.generation = 0  # the generation of the settings that the daemon has taken up
        self._state, self._since = "", 0.0

    def write(self, state: str, **details: Any) -> bool:
        """Write one heartbeat, whole or not at all.

        Returns False when the directory cannot be written. The daemon must not end because of this.
        """
        me, at = current_process(), now()
        if state != self._state:
            self._state, self._since = state, at
        identity = {"program": self.program, "pid": me.pid, "start": me.start}
        try:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:  # a task has put another kind of file there
                clear_path(self.path.parent, stat.S_ISDIR)
                self.path.parent.mkdir()
            content = {**identity, "at": at, "state": state, "since": self._since}
            own = {"generation": self.generation}
            try:
                status_file.write(self.path, {**content, "details": {**details, **own}})
            # No reader would accept so large a file. A sign of life matters more than the details.
            except TooLarge:
                status_file.write(self.path, {**content, "details": own})
        except OSError:  # the failed write has touched the old file
            return False
        return True

    def stop(self) -> None:
        """Remove the file.

        A daemon that ends cleanly leaves no heartbeat, so no reader takes the daemon for hung.
        """
        with suppress(OSError):
            self.path.unlink()


@dataclass(frozen=True)
class Heartbeats:
    """The last heartbeats, and the errors of the reads. Both are by program.

    A program without a heartbeat has no entry in `by_program`.
    """

    by_program: dict[str, Heartbeat] = field(default_factory=dict)
    errors_found: dict[str, str] = field(default_factory=dict)


def read(run_dir: Path, programs: Iterable[str]) -> Heartbeats:
    """Return the heartbeats of these programs of this host.

    A program that has no heartbeat file is in neither part of the result. Only the files of these
    programs are opened, even if somebody has put many other files there. Raises nothing.
    """
    found = {program: _read(run_dir, program) for program in programs}
    return Heartbeats(
        {
            program: heartbeat
            for program, heartbeat in found.items()
            if isinstance(heartbeat, Heartbeat)
        },
        {program: error for program, error in found.items() if isinstance(error, str)},
    )


def _read(run_dir: Path, program: str) -> Heartbeat | str | None:
    # supervisord's own files may give a program any name. A program with such a name has no
    # heartbeat.
    if "/" in program or "\0" in program:
        return None
    path = run_dir / "heartbeats" / f"{program}.json"
    found = status_file.read(
        path, program={program}, pid=int, start=int, since=NUMBER, state=str, details=DETAILS
    )
    content = found.said
    if content is None:
        return None if found.missing else found.last_error
    process, mark = Process(content["pid"], content["start"]), (content["at"], found.stamp)
    return Heartbeat(
        program,
        process,
        content["at"],
        content["since"],
        content["state"],
        content["details"],
        mark,
    )
