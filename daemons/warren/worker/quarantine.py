"""Tasks that were at work each time their worker died: each has its last try alone, and only the
one that kills is given up.
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

    A long task is at work at every death that another one causes. So those that have one try left
    run one at a time, beside tasks that are not suspected: at the next death at most one of them
    was at work.
    """

    def __init__(self, crash_counts: CrashCounts) -> None:
        self._crash_counts = crash_counts
        self._waiting: deque[tuple[Any, Callable[[Any], None]]] = deque()
        self._trial: Any = None

    def admit(self, request: Any, run: Callable[[Any], None]) -> None:
        """Runs the request with `run`, now or when no other suspect is at work, or gives it up."""
        crash_counts = self._crash_counts.of(request.id)
        crashes = crash_counts + request.crashes
        # acknowledged before it runs, a task does not come again
        if not crash_counts or not request.task.acks_late:
            run(request)
        elif crashes >= MOST_CRASHES:
            request.abandon_task(crash_counts)
        elif crashes == MOST_CRASHES - 1:
            self._waiting.append((request, run))
            self.step()
        else:
            run(request)

    def step(self) -> None:
        """Begins the next one when the one before has ended. Called a few times a second."""
        while self._waiting and not _held(self._trial):
            request, run = self._waiting.popleft()
            if _held(request):  # else its connection broke, and the broker delivers it again
                self._trial = request
                run(request)


def _held(request: Any) -> bool:
    """Whether the worker has the request still, waiting or running."""
    return request in state.reserved_requests or request in state.active_requests
