"""The programs of this host: what supervisord says of each, beside what its own heart says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warren import heartbeat, run_file
from warren.config import Settings
from warren.health.evidence import PROGRAMS
from warren.heartbeat import AT_WORK, STALE
from warren.supervise.client import programs


@dataclass(frozen=True)
class ProgramStatus:
    """One program. `heart` is what its main loop says (see heartbeat.py); empty when it says nothing.

    `trouble` says how it ended last, why it could not start, or why its heart cannot be read. `held`: it has ended too often,
    and is started rarely.
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
        """Whether it does its work now."""
        beating = self.heart_age_s is not None and self.heart_age_s < STALE
        return self.state == "RUNNING" and self.heart in AT_WORK and beating


def program_status(settings: Settings) -> list[ProgramStatus]:
    """What supervisord says of each program, beside what the program's own heart says. Raises Unavailable."""
    asked = programs(settings)
    hearts = heartbeat.read(settings.app.run_dir, [each.program for each in asked])
    listed = (run_file.read(settings.app.run_dir / "programs.json", **PROGRAMS).said or {"programs": []})["programs"]
    standing = {each["program"]: each for each in listed}
    found = []
    for program in asked:
        beat = hearts.beats.get(program.program)
        if beat is not None and beat.process.pid != program.pid:
            beat = None  # the heart of an earlier process says nothing of this one
        stands = standing.get(program.program, {})
        found.append(
            ProgramStatus(
                program.program,
                program.state,
                program.pid,
                beat.state if beat else "",
                round(beat.age, 3) if beat else None,
                beat.evidence if beat else {},
                stands.get("held", False),
                hearts.troubles.get(program.program) or stands.get("trouble") or program.trouble,
                stands.get("warning", ""),
            )
        )
    return found
