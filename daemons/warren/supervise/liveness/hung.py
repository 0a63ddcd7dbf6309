"""Whether a daemon hangs: it has shown no life for longer than its state allows.

Pure: another file acts (recover.py).
"""

from __future__ import annotations

from warren.config import Settings
from warren.status.condition import Condition
from warren.supervise.liveness.observe import Observation

#: Factor of the longest silence while a daemon connects to its broker or requeues its messages.
_CONNECT_FACTOR = 3
_CONNECT_MARGIN = 5.0
#: The time for a start is doubled at most this many times.
_DOUBLINGS = 5


def is_hung(observation: Observation, settings: Settings, slow_starts: int = 0) -> bool:
    """Return whether the program has been silent for so long that it must be killed."""
    return observation.silence >= silence_limit(observation, settings, slow_starts)


def is_starting(observation: Observation) -> bool:
    """Return whether the program imports the tasks or forks its children; no loop runs yet."""
    return observation.state in ("", "starting")


def silence_limit(observation: Observation, settings: Settings, slow_starts: int = 0) -> float:
    """Return the seconds of silence after which the program counts as hung.

    Each of the `slow_starts` before this one doubles the time: a daemon that starts a little too
    slowly must not be ended at the same point for ever.
    """
    supervise = settings.supervise
    if is_starting(observation):
        return max(supervise.start_timeout, supervise.heartbeat_timeout) * (
            1 << min(slow_starts, _DOUBLINGS)
        )
    # a restart mends no outage of the broker or of the name service
    if not Condition.of_heartbeat(observation.state).ready:
        return _CONNECT_FACTOR * max(supervise.heartbeat_timeout, settings.broker.connect_timeout)
    # A broker that has just vanished costs two attempts before the heartbeat says `connecting`.
    return max(supervise.heartbeat_timeout, 2 * settings.broker.connect_timeout + _CONNECT_MARGIN)
