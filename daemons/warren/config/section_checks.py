"""Checks across sections: each section may be valid alone, and still contradict another. Pure.

quota_queue_checks.py has the checks of the queues of quotas' tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from warren.config import quota_queue_checks, web_checks
from warren.config.patterns import is_pattern, overlap
from warren.config.settings import Settings
from warren.config.units import duration_text, shown
from warren.config.values import nearest
from warren.errors import Problem


def check(settings: Settings, broken: frozenset[str] = frozenset()) -> Iterator[Problem]:
    """Yield all problems between sections.

    broken: the headings of sections that have problems of their own. In `settings` such a section
    is missing, or differs from what the file says.
    """
    declared = {
        *settings.queues,
        *(heading.removeprefix("queue:") for heading in broken if heading.startswith("queue:")),
    }
    yield from _workers(settings, declared)
    yield from _schedules(settings, declared)
    yield from web_checks.check(settings, declared)
    yield from _costs(settings)
    yield from _results(settings)
    yield from _levels(settings)
    if not any(heading == "broker" or heading.startswith("worker:") for heading in broken):
        yield from _unconsumed(settings)
    if not any(heading.startswith(("queue:", "quota:")) for heading in broken):
        yield from _claims(settings)
        yield from quota_queue_checks.shared_queues(settings)
        yield from quota_queue_checks.sent_elsewhere(settings)


def _workers(settings: Settings, declared: set[str]) -> Iterator[Problem]:
    for name, worker in settings.workers.items():
        heading = f"worker:{name}"
        for queue in worker.queues:
            if queue not in declared:
                yield _undeclared(settings, heading, "queues", queue, declared)
        if not worker.queues:
            yield Problem(
                settings.origin(heading, "queues"), heading, "queues", "at least one queue", "none"
            )
        if 0 < worker.time_limit <= worker.soft_time_limit:
            expected = f"less than time_limit, which is {duration_text(worker.time_limit)}"
            found = duration_text(worker.soft_time_limit)
            yield Problem(
                settings.origin(heading, "soft_time_limit"),
                heading,
                "soft_time_limit",
                expected,
                found,
            )


def check_schedules(settings: Settings) -> Iterator[Problem]:
    """Yield the problems of the schedule alone, also of entries that the files do not hold."""
    yield from _schedules(settings, {*settings.queues})
    yield from quota_queue_checks.sent_elsewhere(settings)


def _schedules(settings: Settings, declared: set[str]) -> Iterator[Problem]:
    for name, entry in settings.schedules.items():
        heading = f"schedule:{name}"
        if not entry.task:
            if not entry.enabled and settings.app.celery:
                continue  # it switches off an entry of the app; whether there is one is asked later
            remedy = "add task = ... (Name of the task.)"
            origin = settings.origin(heading)
            yield Problem(origin, heading, "task", "this option", "it nowhere", remedy)
        if (entry.every is None) == (entry.cron is None):
            option = "" if entry.every is None else "cron"
            found = "neither" if entry.every is None else "both"
            yield Problem(
                settings.origin(heading, option), heading, option, "one of every and cron", found
            )
        if entry.queue is not None and entry.queue not in declared:
            yield _undeclared(settings, heading, "queue", entry.queue, declared)


def _undeclared(
    settings: Settings, heading: str, option: str, queue: str, declared: set[str]
) -> Problem:
    remedy = f"add a section [queue:{queue}]"
    hint = nearest(queue, declared)
    if hint.startswith("did you mean"):
        remedy = f"{hint} Else {remedy}"
    return Problem(
        settings.origin(heading, option), heading, option, "a declared queue", shown(queue), remedy
    )


def _unconsumed(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each queue that no worker consumes, with the embedded broker only.

    The embedded broker belongs to this host, so no other host can consume the queue. On a host
    without any worker nothing is reported: that host only sends tasks, or is still being set up.
    """
    running = {name: worker for name, worker in settings.workers.items() if worker.enabled}
    if not settings.broker.embedded or settings.broker.url_file is not None or not running:
        return
    consumed = {queue for worker in running.values() for queue in worker.queues}
    for name in settings.queues:
        heading = f"queue:{name}"
        origin = settings.origin(heading)
        if name not in consumed and origin.file is not None:
            workers = ", ".join(f"[worker:{worker}]" for worker in running)
            remedy = (
                f"add {name} to the queues of {workers}"
                if len(running) == 1
                else f"add {name} to queues of one of {workers}"
            )
            yield Problem(origin, heading, "", "a worker that consumes it", "none", remedy)


def _costs(settings: Settings) -> Iterator[Problem]:
    for name, quota in settings.quotas.items():
        heading = f"quota:{name}"
        if quota.cost > quota.limit.calls:
            expected = f"at most the {quota.limit.calls} calls of limit = {quota.limit}"
            remedy = "no task could ever start"
            yield Problem(
                settings.origin(heading, "cost"), heading, "cost", expected, str(quota.cost), remedy
            )


def _levels(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each pair of [health] levels where critical is reached before warning."""
    health = settings.health
    if health.queue_critical < health.queue_warning:
        yield _disorder(settings, "queue_warning", "queue_critical")
    if 0 < health.disk_warning < health.disk_critical:  # 0 means: never warn
        yield _disorder(settings, "disk_critical", "disk_warning")


def _disorder(settings: Settings, low: str, high: str) -> Problem:
    """Return the problem of an option `low` whose value is above the value of the option `high`.

    The problem names an option that a file sets, because the other option may have its default.
    """
    of_low = settings.origin("health", low).file is not None
    option, other, order = (low, high, "at most") if of_low else (high, low, "at least")
    values = settings.health.model_dump()
    expected = f"{order} {other}, which is {values[other]}"
    return Problem(
        settings.origin("health", option),
        "health",
        option,
        expected,
        str(values[option]),
        f"set {other}, too",
    )


def _results(settings: Settings) -> Iterator[Problem]:
    """Yield a problem when results are kept with a broker that has several servers.

    A result is stored on only one of the servers.
    """
    broker, results = settings.broker, settings.results
    alone = results.url is None and results.url_file is None
    if (
        alone
        and broker.kind == "redis"
        and broker.url is not None
        and ";" in broker.url.get_secret_value()
    ):
        option = "url" if broker.url_file is None else "url_file"
        expected = "one URL, because results are kept there"
        remedy = "set [results] url to the server that is to keep them"
        yield Problem(
            settings.origin("broker", option), "broker", option, expected, "several", remedy
        )


def _claims(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each task that two queues claim, both by name or both by a pattern."""
    for (one, first), (other, second) in combinations(settings.queues.items(), 2):
        for mine in first.tasks:
            for yours in second.tasks:
                if is_pattern(mine) == is_pattern(yours) and overlap(mine, yours):
                    heading, first_origin = (
                        f"queue:{other}",
                        settings.origin(f"queue:{one}", "tasks"),
                    )
                    found = (
                        f"{shown(yours)} here and {shown(mine)} in [queue:{one}] ({first_origin})"
                    )
                    remedy = (
                        "remove one, or name the task in full in the queue that is to have it; "
                        "a call reaches the other queue by its binding_key all the same"
                    )
                    origin = settings.origin(heading, "tasks")
                    yield Problem(origin, heading, "tasks", "each task in one queue", found, remedy)
