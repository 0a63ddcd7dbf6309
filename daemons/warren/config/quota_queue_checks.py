"""Checks that the tasks of a quota wait in queues of their own. Pure.

Other tasks in such a queue would have to wait for the quota as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from warren.config.patterns import covers, is_pattern, matches, overlap
from warren.config.queue_of_task import DEFAULT_QUEUE
from warren.config.settings import Settings
from warren.config.units import shown
from warren.errors import Problem


def shared_queues(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each queue in which tasks of a quota wait together with other tasks.

    The other tasks would have to wait for the quota as well.
    """
    for name, quota in settings.quotas.items():
        heading, origin = f"quota:{name}", settings.origin(f"quota:{name}", "tasks")
        expected = "a queue of their own for these tasks"
        for pattern in quota.tasks:
            if not _has_queue(settings, pattern):
                found = (
                    f"{shown(pattern)} in queue {DEFAULT_QUEUE}, among tasks that [{heading}] does "
                    "not govern"
                )
                remedy = f"add {pattern} to [queue:{name}] tasks"
                if name not in settings.queues:
                    remedy = (
                        f"add [queue:{name}] with tasks = {pattern}, and {name} to a worker's "
                        "queues"
                    )
                yield Problem(origin, heading, "tasks", expected, found, remedy)
        for queue, tasks in _queues_reached(settings, quota.tasks):
            others = [each for each in tasks if not any(covers(mine, each) for mine in quota.tasks)]
            if others:
                found = f"queue {queue}, which takes {', '.join(map(shown, others))} as well"
                remedy = (
                    f"add a [queue:...] with tasks = {', '.join(others)}, or govern those by the "
                    "same quota"
                )
                yield Problem(origin, heading, "tasks", expected, found, remedy)


def _has_queue(settings: Settings, pattern: str) -> bool:
    """Return whether every task that matches the pattern goes to a queue other than the default
    queue.

    The default queue also takes tasks that no other queue claims.
    """
    if not is_pattern(pattern):
        return settings.queue_of(pattern) != DEFAULT_QUEUE
    claims = (queue.tasks for name, queue in settings.queues.items() if name != DEFAULT_QUEUE)
    return any(covers(claim, pattern) for tasks in claims for claim in tasks)


def _queues_reached(
    settings: Settings, patterns: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the queues in which tasks of the patterns may wait, each with the patterns of such
    tasks.

    The default queue is left out.
    """
    for name, queue in settings.queues.items():
        if name != DEFAULT_QUEUE and any(_reaches(settings, each, name) for each in patterns):
            yield name, queue.tasks


def _reaches(settings: Settings, pattern: str, queue: str) -> bool:
    if not is_pattern(pattern):
        return settings.queue_of(pattern) == queue
    return any(overlap(pattern, claim) for claim in settings.queues[queue].tasks)


def sent_elsewhere(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each schedule entry whose queue holds tasks under other quotas."""
    for name, entry in settings.schedules.items():
        if (
            entry.queue is None
            or not entry.task
            or entry.queue not in settings.queues
            or entry.queue == settings.queue_of(entry.task)
        ):
            continue
        own = set(settings.quotas_of(entry.task))
        tasks = settings.queues[entry.queue].tasks
        theirs = {
            each
            for each, quota in settings.quotas.items()
            if any(matches(task, quota.tasks) for task in tasks)
        }
        if own != theirs and (tasks or entry.queue == DEFAULT_QUEUE):
            heading = f"schedule:{name}"
            expected = (
                f"a queue of tasks under the same quotas as {entry.task} "
                f"({', '.join(sorted(own)) or 'none'})"
            )
            found = (
                f"{shown(entry.queue)}, whose tasks are under {', '.join(sorted(theirs)) or 'none'}"
            )
            yield Problem(
                settings.origin(heading, "queue"),
                heading,
                "queue",
                expected,
                found,
                "leave queue empty",
            )
