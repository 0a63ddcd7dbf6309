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
    """One program. `heart` is what its main loop says (see heartbeat.py); empty when it says nothing. `trouble` says how it ended
    last, or why it could not start; `held` whether it is kept from starting for having ended too often.
    """

    program: str
    state: str
    pid: int | None
    heart: str
    heart_age_s: float | None
    evidence: dict[str, Any]
    held: bool = False
    trouble: str = ""

    @property
    def ready(self) -> bool:
        """Whether it does its work now."""
        beating = self.heart_age_s is not None and self.heart_age_s < STALE
        return self.state == "RUNNING" and self.heart in AT_WORK and beating


def program_status(settings: Settings) -> list[ProgramStatus]:
    """What supervisord says of each program, beside what the program's own heart says. Raises Unavailable."""
    beats = heartbeat.read(settings.app.run_dir)
    listed = (run_file.read(settings.app.run_dir / "programs.json", **PROGRAMS).said or {"programs": []})["programs"]
    standing = {each["program"]: each for each in listed}
    found = []
    for program in programs(settings):
        beat = beats.get(program.program)
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
                stands.get("trouble") or program.trouble,
            )
        )
    return found
