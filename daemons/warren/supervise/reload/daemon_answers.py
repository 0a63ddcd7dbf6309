"""The answers of daemons to a reload in their heartbeats: who listens, who took it up. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from supervisor.states import ProcessStates

from warren.supervise.daemon_process import DaemonProcess
from warren.supervise.liveness.observe import Observation


def listens(process: DaemonProcess, observations: Mapping[str, Observation]) -> bool:
    """Return whether a daemon has its signal handlers: its present process has a heartbeat."""
    observation = observations.get(process.config.name)
    return (
        process.state == ProcessStates.RUNNING
        and observation is not None
        and observation.heartbeat is not None
        and observation.pid == process.pid
    )


def generation(observation: Observation) -> int:
    """Return the generation of the settings that a daemon has taken up; 0 if it has not said."""
    found = observation.details.get("generation", 0)
    return found if isinstance(found, int) else 0


def reason(observation: Observation) -> str:
    """Return, in brackets, what delays a daemon, if it says so: ledgers that still change."""
    quotas = observation.details.get("unsettled")
    if not isinstance(quotas, list) or not quotas:
        return ""
    return f" (quotas with their old settings: {', '.join(map(str, quotas))})"


def reloads(observation: Observation | None) -> int:
    """Return the number of SIGHUPs that a daemon has answered; 0 if it has not said."""
    found = observation.details.get("reloads", 0) if observation else 0
    return found if isinstance(found, int) else 0
