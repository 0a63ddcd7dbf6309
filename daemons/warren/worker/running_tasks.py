"""What the pool children of a worker run, and since when, for its heartbeat.

Without it a pool whose tasks never end looks healthy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from warren.status.status_file import now

#: How many tasks the heartbeat names: the oldest.
_NAMED = 5
#: Characters of an id or a name that are kept.
_KEPT = 160


class RunningTasks:
    """The running tasks, each with the second of CLOCK_BOOTTIME at which it was first seen.

    No step of the wall clock moves it.
    """

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, str]] = {}

    def look(self, requests: Collection[Any], concurrency: int) -> dict[str, Any]:
        """Return what the heartbeat says of these requests, which are all that run now.

        `oldest` has the tasks that have run longest. `busy_since` is when the last busy child
        became busy; null while a child is free.
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
