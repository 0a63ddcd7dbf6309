"""Clears the lists of queues that remote control has cancelled, for an operator."""

from __future__ import annotations

from warren.config import Settings
from warren.runtime.cancelled_queues import CancelledQueues


def forget_cancelled(settings: Settings, program: str, reason: str) -> None:
    """Let the worker `program` consume all of its queues after its next start.

    The worker must not be running. Its section may no longer be in `settings`.
    """
    worker = settings.workers.get(program.removeprefix("worker-"))
    CancelledQueues(settings.app.state_dir, program).forget(worker.queues if worker else (), reason)


def forget_all_cancelled(settings: Settings) -> None:
    """Let every worker consume all of its queues after its next start.

    Called because somebody has asked the suite to stop.
    """
    for name in settings.workers:
        forget_cancelled(settings, f"worker-{name}", "the suite was stopped")
