"""The queues that remote control has cancelled for workers, which an operator's restart or stop
forgets.
"""

from __future__ import annotations

from warren.config import Settings
from warren.runtime.cancelled_queues import CancelledQueues


def forget_cancelled(settings: Settings, program: str, reason: str) -> None:
    """Let the worker `program` consume all of its queues after its next start.

    The worker does not run now. `settings` may no longer have its section.
    """
    worker = settings.workers.get(program.removeprefix("worker-"))
    CancelledQueues(settings.app.state_dir, program).forget(worker.queues if worker else (), reason)


def forget_all_cancelled(settings: Settings) -> None:
    """Let every worker do so, because somebody has asked the suite to stop."""
    for name in settings.workers:
        forget_cancelled(settings, f"worker-{name}", "the suite was stopped")
