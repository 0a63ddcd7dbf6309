"""The programs of this host: the state that supervisord reports, and each program's heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warren.config import Settings
from warren.control.supervisord import programs
from warren.health.observation import PROGRAMS
from warren.status import heartbeat, status_file
from warren.status.heartbeat import AT_WORK, STALE


@dataclass(frozen=True)
class ProgramRow:
    """The status of one program.

    `heartbeat` is the state that its main loop reports (see heartbeat.py), empty without a
    heartbeat; `heartbeat_age_s` is the age of the heartbeat in seconds. `last_error` is the last
    error: how the program ended last, why it could not start, or why its heartbeat cannot be read.
    `backing_off` is true when it has ended too often and is now started rarely.
    """

    program: str
    state: str
    pid: int | None
    heartbeat: str
    heartbeat_age_s: float | None
    details: dict[str, Any]
    backing_off: bool = False
    last_error: str = ""
    warning: str = ""

    @property
    def ready(self) -> bool:
        """Whether the program does its work now."""
        beating = self.heartbeat_age_s is not None and self.heartbeat_age_s < STALE
        return self.state == "RUNNING" and self.heartbeat in AT_WORK and beating


def program_status(settings: Settings) -> list[ProgramRow]:
    """Return supervisord's state of each program, with its heartbeat. Raises Unavailable."""
    asked = programs(settings)
    heartbeats = heartbeat.read(settings.app.run_dir, [each.program for each in asked])
    listed = (
        status_file.read(settings.app.run_dir / "programs.json", **PROGRAMS).said
        or {"programs": []}
    )["programs"]
    statuses = {each["program"]: each for each in listed}
    found = []
    for program in asked:
        latest = heartbeats.by_program.get(program.program)
        if latest is not None and latest.process.pid != program.pid:
            latest = None  # the heartbeat of an earlier process says nothing about this process
        status = statuses.get(program.program, {})
        found.append(
            ProgramRow(
                program.program,
                program.state,
                program.pid,
                latest.state if latest else "",
                round(latest.age, 3) if latest else None,
                latest.details if latest else {},
                status.get("backing_off", False),
                heartbeats.errors_found.get(program.program)
                or status.get("last_error")
                or program.last_error,
                status.get("warning", ""),
            )
        )
    return found
