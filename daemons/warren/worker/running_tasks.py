"""What the pool children of a worker run, and since when. The worker's heartbeat has this.

Without this, a pool whose tasks never end would look healthy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from warren.status.status_file import now

#: The tasks that the heartbeat names: the tasks that have run longest, and at most so many.
_NAMED = 5
#: Characters of an id or a name that are kept.
_KEPT = 160


class RunningTasks:
    """The running tasks, each with the time at which it was first seen (seconds of CLOCK_BOOTTIME).

    No step of the wall clock changes this time.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, str]] = {}

    def look(self, requests: Collection[Any], concurrency: int) -> dict[str, Any]:
        """Return what the heartbeat says of the running tasks.

        requests: the requests of all tasks that run now. The result has `oldest`, the tasks that
        have run longest, and `busy_since`, when the last free child became busy; null while a child
        is free.
        """
        at = now()
        self._since = {each.id: self._since.get(each.id, (at, str(each.name))) for each in requests}
        ordered = sorted((since, task_id, name) for task_id, (since, name) in self._since.items())
        return {
            "oldest": [
                {"id": task_id[:_KEPT], "task": name[:_KEPT], "since": since}
                for since, task_id, name in ordered[:_NAMED]
            ],
            "busy_since": ordered[-1][0] if len(ordered) >= concurrency else None,
        }
