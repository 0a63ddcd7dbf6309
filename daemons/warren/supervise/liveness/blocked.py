"""Whether a worker's pool is blocked: each child runs one task for long while messages wait.

Pure: another file reports. Nobody acts on a blocked pool, because only the team knows how long its
tasks may take. A time limit ends such a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warren.status.status_file import now
from warren.supervise.liveness.observe import Observation
from warren.supervise.liveness.stuck import waiting


@dataclass(frozen=True)
class Blocked:
    """A worker process, all of whose children have run the same tasks for long while messages wait.

    `since` is in seconds of CLOCK_BOOTTIME. `tasks` are the ids of the oldest tasks, `waiting` is
    the number of messages of each queue.
    """

    pid: int
    since: float
    tasks: tuple[str, ...]
    waiting: dict[str, int]

    @property
    def seconds(self) -> float:
        """Return for how many seconds the pool has been blocked so far."""
        return max(0.0, now() - self.since)

    @property
    def warning(self) -> str:
        """Return the warning for people."""
        messages = sum(self.waiting.values())
        ids = f", the oldest {', '.join(self.tasks)}" if self.tasks else ""
        return (
            f"blocked: none of its processes has ended a task for {_for(self.seconds)}, while "
            f"{messages} {'message waits' if messages == 1 else 'messages wait'}{ids}"
        )


def _for(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def blocked(observation: Observation, queues: Mapping[str, int], timeout: float) -> Blocked | None:
    """Return how a worker is blocked, for queues with this many messages each.

    Return None when the worker is not blocked, or when `timeout` (seconds) is 0.
    """
    since, oldest = observation.details.get("busy_since"), observation.details.get("oldest")
    if (
        not timeout
        or observation.state != "ready"
        or not isinstance(since, int | float)
        or now() - since < timeout
    ):
        return None
    left = waiting(observation, queues)
    if not left:
        return None
    tasks = (
        [each.get("id") for each in oldest if isinstance(each, dict)]
        if isinstance(oldest, list)
        else []
    )
    return Blocked(observation.pid, float(since), tuple(str(each) for each in tasks), left)
