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
class ProgramStatus:
    """The status of one program.

    `heart` is the state that its main loop reports (see heartbeat.py), empty without a heartbeat;
    `heart_age_s` is the age of the heartbeat in seconds. `trouble` is the last error: how the
    program ended last, why it could not start, or why its heartbeat cannot be read. `held` is true
    when it has ended too often and is now started rarely.
    """

    program: str
    state: str
    pid: int | None
    heart: str
    heart_age_s: float | None
    evidence: dict[str, Any]
    held: bool = False
    trouble: str = ""
    warning: str = ""

    @property
    def ready(self) -> bool:
        """Whether the program does its work now."""
        beating = self.heart_age_s is not None and self.heart_age_s < STALE
        return self.state == "RUNNING" and self.heart in AT_WORK and beating


def program_status(settings: Settings) -> list[ProgramStatus]:
    """Return supervisord's state of each program, with its heartbeat. Raises Unavailable."""
    asked = programs(settings)
    heartbeats = heartbeat.read(settings.app.run_dir, [each.program for each in asked])
    listed = (status_file.read(settings.app.run_dir / "programs.json", **PROGRAMS).said or {"programs": []})["programs"]
    statuses = {each["program"]: each for each in listed}
    found = []
    for program in asked:
        beat = heartbeats.beats.get(program.program)
        if beat is not None and beat.process.pid != program.pid:
            beat = None  # the heartbeat of an earlier process says nothing about this process
        status = statuses.get(program.program, {})
        found.append(
            ProgramStatus(
                program.program,
                program.state,
                program.pid,
                beat.state if beat else "",
                round(beat.age, 3) if beat else None,
                beat.evidence if beat else {},
                status.get("held", False),
                heartbeats.troubles.get(program.program) or status.get("trouble") or program.trouble,
                status.get("warning", ""),
            )
        )
    return found
