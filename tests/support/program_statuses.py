"""The status of a program as supervisord publishes it."""

from __future__ import annotations

from typing import Any

from warren.status.condition import Condition
from warren.status.suite_report import ProgramStatus


def program_status(program: str, **other: Any) -> ProgramStatus:
    """The status of a program that is ready, but for what is named."""
    fields: dict[str, Any] = {
        "state": "RUNNING",
        "pid": 7,
        "since": 1.0,
        "condition": Condition.READY,
        "condition_since": 1.0,
        "backing_off": False,
    }
    fields |= other
    return ProgramStatus(program, **{"ready": fields["condition"].ready, **fields})
