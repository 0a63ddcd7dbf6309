"""The quarantine of tasks that were running each time their worker died.

Each of these tasks has its last try alone. So only the task that kills its worker is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from celery.worker import state

from warren.worker.crash_counts import CrashCounts
from warren.worker.request import MOST_CRASHES


class Quarantine:
    """Stands between the worker's consumer and its pool.

    A long task runs at every crash that another task causes. So tasks that have one try left run
    one at a time, beside tasks that are not suspected: at the next crash at most one of them was
    running.
    """

    def __init__(self, crash_counts: CrashCounts) -> None:
        self._crash_counts = crash_counts
        self._waiting: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self._running: Any = None

    def admit(self, request: Any, run: Callable[[Any], None]) -> None:
        """Run the request now, or when no other quarantined task runs, or give it up.

        run: runs the request.
        """
        counted = self._crash_counts.of(request.id)
        crashes = counted + request.crashes
        # A task that is acknowledged before it runs would not come again.
        if not counted or not request.task.acks_late:
            run(request)
        elif crashes >= MOST_CRASHES:
            request.abandon_task(counted)
        elif crashes == MOST_CRASHES - 1:
            self._waiting.append((request, run))
            self.step()
        else:
            run(request)

    def step(self) -> None:
        """Begin the next request when the one before it has ended.

        Called a few times a second.
        """
        while self._waiting and not _is_here(self._running):
            request, run = self._waiting.popleft()
            # Otherwise the request's connection broke, and the broker delivers the message again.
            if _is_here(request):
                self._running = request
                run(request)


def _is_here(request: Any) -> bool:
    """Return whether the worker still has the request, waiting or running."""
    return request in state.reserved_requests or request in state.active_requests
