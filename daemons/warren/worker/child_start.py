"""What Warren does as a pool child starts, in its order."""

from __future__ import annotations

import signal
from typing import Any

from celery import current_app, signals

from warren.broker.transport_profiles import Kind, use
from warren.system.process import die_with_parent
from warren.worker import callbacks, task_forks
from warren.worker.crash_counts import CrashCounts
from warren.worker.task_guard import TaskGuard


class ChildStart:
    """The start of each pool child of one worker."""

    def __init__(self, worker: int, task_guard: TaskGuard, crash_counts: CrashCounts) -> None:
        self._worker = worker
        self._task_guard = task_guard
        self._crash_counts = crash_counts

    def connect(self) -> None:
        """Listen to the start of the pool children that this process forks."""
        signals.worker_process_init.connect(self.begin, weak=False)

    def begin(self, **_: Any) -> None:
        """Begin a pool child: the guard of its tasks, its tie to the worker, its empty crash note.

        Each step runs whatever the one before it raises; Celery logs the error of a receiver.
        """
        try:
            self._task_guard.begin_child()
        finally:
            try:
                self._tie_to_worker()
            finally:
                self._crash_counts.begin_child()

    def _tie_to_worker(self) -> None:
        """Have the child end with its worker, so that no process calls with a slot whose owner
        looks dead; and give it back what the worker's own loop does without.
        """
        die_with_parent(signal.SIGKILL, self._worker)
        # What the worker does at this signal is not the child's to do.
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        task_forks.begin_child()
        callbacks.begin_child(current_app.backend)
        use(current_app, Kind.SENDER)  # a child sends tasks, and waits for the confirmations
        # A task that has run must not fail because its result cannot be stored just now (full
        # disk): the child waits for room, unacknowledged, so a stop meanwhile requeues the task.
        # Not so the parent, whose loop must not wait.
        current_app.backend.always_retry = True
