"""The status of one program as supervisord publishes it, with the judgement of its state."""

from __future__ import annotations

from typing import Any

from warren.config import Settings
from warren.status.condition import Condition
from warren.status.status_file import now
from warren.status.suite_report import ProgramStatus
from warren.supervise.daemon_process import DaemonProcess, state_of
from warren.supervise.liveness.observe import Observation
from warren.supervise.liveness.readiness import condition_of, since


def status_of(process: Any, observation: Observation | None, settings: Settings) -> ProgramStatus:
    """Return the status of a process of supervisord, which `observation` has observed."""
    state = state_of(process)
    if not isinstance(process, DaemonProcess):
        return _own_status(process, state)
    condition = condition_of(state, observation, process.backing_off, settings)
    unreadable = observation.unreadable if observation else ""
    return ProgramStatus(
        process.config.name,
        state,
        process.pid or None,
        process.since,
        condition,
        since(condition, observation, process.since, now()),
        condition.ready,
        condition == Condition.BACKING_OFF,
        max(0, process.starts - 1),
        unreadable or process.last_error,
        warning=process.warning,
    )


def _own_status(process: Any, state: str) -> ProgramStatus:
    """Return the status of an operator's own program, which has no heartbeat."""
    name, group = process.config.name, process.group.config.name
    condition = Condition.of_process(state)
    return ProgramStatus(
        name if name == group else f"{group}:{name}",  # as supervisord's clients name it
        state,
        process.pid or None,
        0.0,
        condition,
        0.0,
        condition.ready,
        False,
        last_error=process.spawnerr or "",
        expected=False,
    )
