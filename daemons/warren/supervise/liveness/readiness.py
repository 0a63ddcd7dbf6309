"""The condition of a program, which includes whether it is ready. Only this file judges it.

Pure. programs.json publishes the judgement, and all other readers take it from there.
"""

from __future__ import annotations

from warren.config import Settings
from warren.status.condition import Condition
from warren.supervise.liveness.observe import Observation
from warren.supervise.liveness.stale_heartbeat import is_stale


def condition_of(
    state: str, observation: Observation | None, backing_off: bool, settings: Settings
) -> Condition:
    """Return the condition of a daemon.

    `state` is supervisord's. `backing_off` says that the daemon has ended so often that it is
    started rarely.
    """
    found = Condition.of_process(state)
    if found == Condition.RUNNING:
        found = by_heartbeat(observation, settings)
    # A crash loop ends only when the daemon has proven that it works. But a daemon that is ready
    # now is shown as ready, also before that proof.
    return Condition.BACKING_OFF if backing_off and not found.ready else found


def at_work(observation: Observation | None, settings: Settings) -> bool:
    """Return whether the heartbeat of a daemon whose process runs says that the daemon works."""
    return by_heartbeat(observation, settings).ready


def since(
    condition: Condition, observation: Observation | None, state_since: float, now: float
) -> float:
    """Return when the condition began, in seconds of CLOCK_BOOTTIME.

    `state_since` says, in the same unit, when supervisord's state began.
    """
    if observation is None or observation.heartbeat is None:
        return state_since
    if condition == Condition.SILENT:
        return round(now - observation.silence, 1)
    if condition == observation.state:
        # A process whose state STARTING has passed may have been ready before that.
        return observation.heartbeat.since
    return state_since


def by_heartbeat(observation: Observation | None, settings: Settings) -> Condition:
    """Return the condition of a daemon whose process runs, by its heartbeat."""
    if observation is not None and observation.unreadable:
        return Condition.UNREADABLE
    if observation is None or observation.heartbeat is None:
        return Condition.NO_HEARTBEAT
    if is_stale(observation, settings):
        return Condition.SILENT
    return Condition.of_heartbeat(observation.state)
