"""Why a program that is being changed or restarted is not ready yet, for the report on it. Pure."""

from __future__ import annotations

from typing import Any

from warren.supervise.liveness.observe import Observation


def activity(process: Any, observation: Observation | None) -> str:
    """Return, in brackets, why a program is not ready yet; empty when nothing is known."""
    if process is None:
        return ""
    state = observation.state if observation is not None and observation.state else ""
    running = (
        observation.heartbeat.details.get("running")
        if observation is not None and observation.heartbeat is not None
        else None
    )
    if state == "stopping" and isinstance(running, int) and running:
        return f" (stopping, {running} {'task' if running == 1 else 'tasks'} running)"
    return f" ({state or process.last_error or 'starting'})"
