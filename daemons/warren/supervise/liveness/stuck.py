"""Whether a worker is stuck: it is connected, has room, messages wait, and it takes none.

Pure: another file acts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warren.supervise.liveness.observe import Observation

#: Age in seconds up to which a heartbeat counts. An older heartbeat is a sign of a hang, not of
#: idleness.
_FRESH = 5.0
#: A worker whose restarts do not help is restarted ever more rarely: its timeout doubles at most
#: this many times.
_DOUBLINGS = 6


@dataclass(frozen=True)
class Idleness:
    """For how many seconds (of the supervisor's loop) a worker has taken nothing although it could.

    `progress` is the number of messages that the process had taken and of tasks that it had begun
    when the numbers last changed. `restarts` counts the restarts that have not helped.
    """

    pid: int
    progress: tuple[int, int]
    seconds: float = 0.0
    restarts: int = 0


def judge(
    before: Idleness | None, observation: Observation, queues: Mapping[str, int], elapsed: float
) -> Idleness | None:
    """Return the idleness of a worker `elapsed` seconds after `before`.

    `queues` has the number of messages of each queue. Return `before` when the heartbeat does not
    say what the worker takes: a heartbeat of an older version, or no heartbeat yet.
    """
    progress = _progress(observation)
    if observation.heartbeat is None or progress is None:
        return before
    restarts = before.restarts if before else 0
    # nobody knows yet whether the restart has helped
    if before is None or before.pid != observation.pid:
        return Idleness(observation.pid, progress, 0.0, restarts)
    if before.progress != progress:
        return Idleness(observation.pid, progress)
    could = (
        observation.state == "ready"
        and observation.silence < _FRESH
        and _has_room(observation)
        and bool(waiting(observation, queues))
    )
    return Idleness(observation.pid, progress, before.seconds + elapsed if could else 0.0, restarts)


def is_stuck(idleness: Idleness, stuck_timeout: float) -> bool:
    """Return whether the worker must be restarted now."""
    return idleness.seconds >= stuck_timeout * (1 << min(idleness.restarts, _DOUBLINGS))


def waiting(observation: Observation, queues: Mapping[str, int]) -> dict[str, int]:
    """Return the queues with messages that the worker consumes now, without paused queues."""
    consumed = observation.details.get("queues", ())
    return {name: queues[name] for name in consumed if queues.get(name, 0) > 0}


def _progress(observation: Observation) -> tuple[int, int] | None:
    taken, begun = observation.details.get("taken"), observation.details.get("begun")
    return (taken, begun) if isinstance(taken, int) and isinstance(begun, int) else None


def _has_room(observation: Observation) -> bool:
    details = observation.details
    running, concurrency = details.get("running"), details.get("concurrency")
    return isinstance(running, int) and isinstance(concurrency, int) and running < concurrency
