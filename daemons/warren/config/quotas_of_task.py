"""The quotas that govern a task, by the `tasks` of the sections [quota:NAME]. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from warren.config.patterns import covers, matches
from warren.config.queue_of_task import EVERY_TASK, last_queue
from warren.config.schema import QueueSettings, QuotaSettings


def quotas_of(task: str, quotas: Mapping[str, QuotaSettings]) -> tuple[str, ...]:
    """Return the sorted names of all quotas that govern a task."""
    return tuple(sorted(name for name, quota in quotas.items() if matches(task, quota.tasks)))


def may_wait(
    queue: str,
    task: str,
    queues: Mapping[str, QueueSettings],
    quotas: Mapping[str, QuotaSettings],
) -> bool:
    """Return whether a queue may wait for the quotas of a task.

    The queue may not wait when it also takes tasks that one of these quotas does not govern. A
    queue without `tasks` holds only tasks that calls have sent there by the queue's name.
    """
    claims = (*queues[queue].tasks, *([EVERY_TASK] if queue == last_queue(queues) else []))
    governing = [quotas[name].tasks for name in quotas_of(task, quotas)]
    return all(any(covers(own, claim) for own in tasks) for claim in claims for tasks in governing)
