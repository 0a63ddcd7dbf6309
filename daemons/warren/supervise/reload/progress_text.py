"""What a reload does now, for the report of the suite. Pure."""

from __future__ import annotations

from warren.config import Settings
from warren.status.activity import Doing
from warren.supervise.reload.reload_state import Checking, State, settled
from warren.supervise.reload.rollout import Rollout
from warren.supervise.reload.suite_programs import Daemons, ObservedDaemon, worker_of


def doing(state: State, daemons: Daemons, settings: Settings) -> Doing | None:
    """Return the activity for a command that waits; None when no reload is running."""
    if isinstance(state, Checking):
        modules = ", ".join(filter(None, (settings.app.celery, *settings.app.modules))) or "none"
        return Doing(f"checking the new settings (task modules: {modules})", state.begun)
    return _changing(settled(state).rollout, daemons)


def _changing(rollout: Rollout, daemons: Daemons) -> Doing | None:
    step = rollout.step
    if step is not None:
        text = activity(worker_of(daemons, step.program))
        return Doing(f"changing {step.program}{text}", step.since, tuple(rollout.pending))
    names = (
        sorted(rollout.leaving)
        or list(rollout.to_signal)
        or list(rollout.pending)
        or list(rollout.lagging)
    )
    if rollout.done or not names:
        return None
    return Doing(f"waiting for {', '.join(names)}", rollout.since, ())


def activity(daemon: ObservedDaemon | None) -> str:
    """Return, in brackets, why a program is not ready yet; empty when nothing is known."""
    if daemon is None:
        return ""
    state, running = daemon.observation.state, daemon.observation.details.get("running")
    if state == "stopping" and isinstance(running, int) and running:
        return f" (stopping, {running} {'task' if running == 1 else 'tasks'} running)"
    return f" ({state or daemon.last_error or 'starting'})"
