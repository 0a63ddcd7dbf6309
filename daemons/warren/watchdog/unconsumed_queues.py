"""The queues that no worker of the fleet consumes. Pure."""

from __future__ import annotations

from warren.config import Settings
from warren.config.patterns import overlap

#: Seconds for which a queue may be without a consumer: a rolling restart may take the last consumer
#: away for a while.
AT_LEAST = 60.0


def timeout(settings: Settings, queue: str) -> float:
    """Return the seconds after which a queue with messages and no consumer is worth a line.

    A queue that waits for a quota has no consumer either. This may be so on all hosts, and lasts
    for a window at most. A queue without `tasks` may hold tasks of any quota.
    """
    tasks = settings.queues[queue].tasks
    windows = [
        quota.limit.seconds + quota.longest_call
        for quota in settings.quotas.values()
        if not tasks or any(overlap(one, other) for one in tasks for other in quota.tasks)
    ]
    return AT_LEAST + max(windows, default=0.0)
