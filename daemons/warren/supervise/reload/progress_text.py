"""Why a program that is being changed or restarted is not ready yet, for the report on it. Pure."""

from __future__ import annotations

from typing import Any

from warren.supervise.liveness.observe import Observation


def activity(process: Any, observation: Observation | None) -> str:
    """Return, in brackets, why a program is not ready yet; empty when nothing is known."""
    if process is None:
        return ""
    state = observation.state if observation else ""
    running = observation.details.get("running") if observation else None
    if state == "stopping" and isinstance(running, int) and running:
        return f" (stopping, {running} {'task' if running == 1 else 'tasks'} running)"
    return f" ({state or process.last_error or 'starting'})"
