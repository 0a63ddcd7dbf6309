"""What an operator's own restart or stop forgets: the queues that remote control has cancelled for
workers.
"""

from __future__ import annotations

from warren.config import Settings
from warren.runtime.cancelled_queues import CancelledQueues


def forget_cancelled(settings: Settings, program: str, reason: str) -> None:
    """Have the worker `program`, which does not run now, take from all of its queues at its next
    start.

    `settings` need not have the worker any more.
    """
    worker = settings.workers.get(program.removeprefix("worker-"))
    CancelledQueues(settings.app.state_dir, program).forget(worker.queues if worker else (), reason)


def forget_all_cancelled(settings: Settings) -> None:
    """Do so for every worker: somebody has asked the suite to end."""
    for name in settings.workers:
        forget_cancelled(settings, f"worker-{name}", "the suite was stopped")
