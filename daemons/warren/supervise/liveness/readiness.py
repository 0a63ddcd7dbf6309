"""The condition of a program, which includes whether it is ready. Only this file judges it.

Pure. programs.json publishes the judgement, and everybody else reads it there.
"""

from __future__ import annotations

from warren.config import Settings
from warren.status.condition import Condition
from warren.status.heartbeat import STALE
from warren.supervise.liveness.observe import Observation

#: The condition that follows from supervisord's state alone. RUNNING says only that there is a
#: process: its heartbeat says what the process does.
_OF_STATE = {
    "STARTING": Condition.STARTING,
    "STOPPING": Condition.STOPPING,
    "BACKOFF": Condition.RESTARTING,
    "STOPPED": Condition.STOPPED,
    "EXITED": Condition.ENDED,
    "FATAL": Condition.ENDED,
    "UNKNOWN": Condition.ENDED,
}
#: The states that a heartbeat has.
_OF_HEARTBEAT = {
    str(condition): condition
    for condition in (
        Condition.STARTING,
        Condition.CONNECTING,
        Condition.READY,
        Condition.STANDBY,
        Condition.STOPPING,
    )
}


def condition_of(
    state: str, observation: Observation | None, backing_off: bool, settings: Settings
) -> Condition:
    """Return the condition of a daemon.

    `state` is supervisord's. `backing_off` says that the daemon has ended so often that it is
    started rarely.
    """
    found = _OF_STATE.get(state) or _by_heartbeat(observation, settings)
    # A crash loop ends only when the daemon has proven that it works. But a daemon that is ready
    # now is shown as ready, also before that proof.
    return Condition.BACKING_OFF if backing_off and not found.ready else found


def own_condition(state: str) -> Condition:
    """Return the condition of an operator's own program, which has no heartbeat."""
    return _OF_STATE.get(state, Condition.RUNNING)


def at_work(observation: Observation | None, settings: Settings) -> bool:
    """Return whether the heartbeat of a daemon whose process runs says that the daemon works."""
    return _by_heartbeat(observation, settings).ready


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


def _by_heartbeat(observation: Observation | None, settings: Settings) -> Condition:
    if observation is not None and observation.unreadable:
        return Condition.UNREADABLE
    if observation is None or observation.heartbeat is None:
        return Condition.NO_HEARTBEAT
    if observation.silence >= min(STALE, settings.supervise.heartbeat_timeout):
        return Condition.SILENT
    return _OF_HEARTBEAT.get(observation.state, Condition.UNKNOWN)
