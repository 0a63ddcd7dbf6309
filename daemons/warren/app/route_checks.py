"""Checks of a project's `task_routes` that need no task to be sent.

A route that is computed is checked at each sending (project_routes.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from celery import Celery
from celery.app.routes import expand_router_string

from warren.app.project_app import own_settings
from warren.app.project_routes import options_of, remedy_of
from warren.app.project_source import place_of
from warren.config import Settings
from warren.config.patterns import covers, matches
from warren.config.queue_of_task import EVERY_TASK
from warren.config.task_checks import failure
from warren.config.units import Unexpected, shown
from warren.errors import Problem

_FORM = "a dict of patterns and queues, a list of such dicts, or a function"


def check_routes(settings: Settings, app: Celery) -> Iterator[Problem]:
    """Yield a problem for each route of the app that Warren's queues cannot hold."""
    own = own_settings(app).get("task_routes")
    for router in own if isinstance(own, list | tuple) else () if own is None else (own,):
        if isinstance(router, Mapping):
            yield from _each(settings, app, router.items())
        elif isinstance(router, list | tuple):
            pairs = [(e[0], e[1]) for e in router if isinstance(e, list | tuple) and len(e) == 2]
            if len(pairs) == len(router):
                yield from _each(settings, app, pairs)
            else:
                found = "a pair outside a list" if len(router) == 2 else "a list of something else"
                remedy = "put the pairs into a list: task_routes = ([(pattern, queue), ...],)"
                yield _problem(app, "", Unexpected(_FORM, found), remedy)
        elif isinstance(router, str):
            yield from _named(app, router)
        elif not callable(router) and not hasattr(router, "route_for_task"):
            yield _problem(app, "", Unexpected(_FORM, f"a {type(router).__name__}"))


def _named(app: Celery, router: str) -> Iterator[Problem]:
    try:
        expand_router_string(router)
    # The operator must see any error that a module raises at its import.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        refused = Unexpected("the name of a function or class such as shop.routes.route", "it")
        refused.found = failure(error)
        yield _problem(app, router, refused, "correct the name")


def _each(settings: Settings, app: Celery, routes: Iterable[tuple[Any, Any]]) -> Iterator[Problem]:
    for pattern, route in routes:
        text = pattern.pattern if isinstance(pattern, re.Pattern) else str(pattern)
        if not isinstance(pattern, re.Pattern) and _claimed(settings, text):
            continue  # the INI's queue wins for all its tasks
        try:
            options = options_of(settings, route)
        except Unexpected as error:
            ini = "" if isinstance(pattern, re.Pattern) else f", or {text} to [queue:NAME] tasks"
            yield _problem(app, text, error, f"{remedy_of(error)}{ini}")
            continue
        routed = [task for task in sorted(app.tasks) if _fits(pattern, task)] if options else []
        tasks = [task for task in routed if not settings.claimed_by(task)]
        # One problem for a route, however many tasks it has.
        found = (
            each
            for queue in _led_to(options)
            for each in _quotas(settings, app, text, tasks, queue)
        )
        yield from islice(found, 1)


def _led_to(options: Mapping[str, Any] | None) -> list[str]:
    if options is None:
        return []
    return [options["queue"]] if "queue" in options else [each.name for each in options["declare"]]


def _claimed(settings: Settings, pattern: str) -> bool:
    return any(
        covers(claim, pattern)
        for queue in settings.queues.values()
        for claim in queue.tasks
        if claim != EVERY_TASK
    )


def _fits(pattern: Any, task: str) -> bool:
    if isinstance(pattern, re.Pattern):
        return pattern.match(task) is not None
    return matches(task, (str(pattern),)) if "*" in str(pattern) else task == str(pattern)


def _quotas(
    settings: Settings, app: Celery, pattern: str, tasks: list[str], queue: str
) -> Iterator[Problem]:
    """Yield a problem for each task that would wait for a quota which does not govern it."""
    for task in tasks:
        governing = settings.quotas_of(task)
        theirs = [
            f"[quota:{name}]"
            for name, quota in settings.quotas.items()
            if name not in governing
            and any(matches(each, quota.tasks) for each in settings.queues[queue].tasks)
        ]
        if theirs:
            found = f"{shown(queue)}, which waits for {', '.join(theirs)}"
            refused = Unexpected(f"a queue of tasks under the same quotas as {task}", found)
            yield _problem(app, pattern, refused, "route it to another queue")


def _problem(app: Celery, pattern: str, error: Unexpected, remedy: str = "") -> Problem:
    option = f"task_routes[{shown(pattern)}]" if pattern else "task_routes"
    quoted = [rf"""["']{re.escape(pattern)}["']"""] if pattern else []
    place = place_of(app, [*quoted, r"task_routes"])
    return Problem(place, "", option, error.expected, error.found, remedy)
