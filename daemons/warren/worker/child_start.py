"""Warren's steps at the start of a pool child, in their order."""

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

        Each step runs even if the step before it raised an error. Celery logs the error of a
        receiver.
        """
        try:
            self._task_guard.begin_child()
        finally:
            try:
                self._tie_to_worker()
            finally:
                self._crash_counts.begin_child()

    def _tie_to_worker(self) -> None:
        """Let the child end with its worker, and give the child back what the worker's own loop
        does without. No process may call with a slot whose owner looks dead.
        """
        die_with_parent(signal.SIGKILL, self._worker)
        # The worker's handler of this signal must not run in the child.
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        task_forks.begin_child()
        callbacks.begin_child(current_app.backend)
        use(current_app, Kind.SENDER)  # a child sends tasks, and waits for the confirmations
        # A task that has run must not fail because its result cannot be stored just now (full
        # disk). So the child waits for room. The message stays unacknowledged, so a stop meanwhile
        # requeues the task. The parent's loop must not wait like this.
        current_app.backend.always_retry = True
