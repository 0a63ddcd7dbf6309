"""The queue that a task goes to, by the `tasks` of the sections [queue:NAME]. Pure.

`app/celery_router.py` tells Celery this queue; a call may name another queue.
"""

from __future__ import annotations

from collections.abc import Mapping

from warren.config.patterns import matches
from warren.config.schema import QueueSettings

DEFAULT_QUEUE = "default"
#: The pattern of the queue that replaces the default queue.
EVERY_TASK = "*"


def queue_of(task: str, queues: Mapping[str, QueueSettings]) -> str:
    """Return the queue that a task goes to, unless the call names another queue.

    The exact name of a task wins over a pattern.
    """
    return claimed_by(task, queues) or last_queue(queues)


def claimed_by(task: str, queues: Mapping[str, QueueSettings]) -> str | None:
    """Return the queue whose `tasks` has the name of the task or a pattern for it.

    The pattern of every task does not count.
    """
    by_pattern = None
    for name, queue in queues.items():
        if task in queue.tasks:
            return name
        if matches(task, tuple(each for each in queue.tasks if each != EVERY_TASK)):
            by_pattern = name
    return by_pattern


def last_queue(queues: Mapping[str, QueueSettings]) -> str:
    """Return the name of the queue for tasks that no other queue claims."""
    return next(
        (name for name, queue in queues.items() if EVERY_TASK in queue.tasks), DEFAULT_QUEUE
    )
