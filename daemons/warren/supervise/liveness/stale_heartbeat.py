"""Whether the heartbeat of a program is too old, so that the program is shown as silent.

Pure. Only this file has the rule. hung.py says after which silence supervise kills the program.
"""

from __future__ import annotations

from warren.config import Settings
from warren.supervise.liveness.observe import Observation

#: Seconds. An older heartbeat does not count any more, however long `heartbeat_timeout` is.
STALE = 10.0


def is_stale(observation: Observation, settings: Settings) -> bool:
    """Return whether the last heartbeat of a program is too old to say that the program works."""
    return observation.silence >= min(STALE, settings.supervise.heartbeat_timeout)
