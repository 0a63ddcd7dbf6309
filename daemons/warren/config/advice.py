"""Warnings of `warren check`: valid settings and task code that are probably mistakes."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from types import ModuleType
from weakref import ReferenceType

from warren.config.settings import Settings

#: Similarity (0 to 1). From here on a name counts as a misspelling of another name: lapotp for
#: laptop.
_ALIKE = 0.8
#: Celery's signals that no daemon of Warren sends, and what to use instead.
SILENT = {
    "beat_init": "a module's own code runs in beat, too, at its import",
    "beat_embedded_init": "a module's own code runs in beat, too, at its import",
    "heartbeat_sent": "`warren status --json` has the worker's heartbeat",
    "after_setup_logger": "a module may add handlers to the root logger at its import",
    "after_setup_task_logger": "a module may add handlers to celery.task at its import",
    "user_preload_options": "options stand in the INI files",
}
#: The attribute that marks each app that Warren has made.
MADE_BY = "made_by_warren"
#: The attribute of a function that `warren.unique` or `warren.once` has decorated: whose calls the
#: lock excludes, `fleet` or `host`.
LOCK_SCOPE = "warren_lock_scope"


def misspelt_hosts(settings: Settings) -> Iterator[str]:
    """Yield a warning for each file in hosts/ whose name is almost this host's name.

    When this host has a file of its own, yields nothing.
    """
    directory, host = settings.directory / "hosts", settings.host
    if (directory / f"{host}.ini").exists():
        return
    for file in sorted(directory.glob("*.ini")):
        if SequenceMatcher(None, file.stem.lower(), host.lower()).ratio() >= _ALIKE:
            yield (
                f"{file}: it is for a host {file.stem}. This host is {host} and has no file: "
                "is the name misspelt?"
            )


def foreign_apps() -> Iterator[str]:
    """Yield a warning for each Celery app that a task module has made.

    Code that uses such an app does not send through Warren's app. Call this after the modules have
    been imported.
    """
    from celery import Celery

    locations: dict[int, tuple[str, str]] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("celery", "kombu", "warren") or not isinstance(
            module, ModuleType
        ):
            continue
        for attribute, value in sorted(vars(module).items()):
            # The type itself is checked: isinstance would accept a proxy such as current_app.
            if issubclass(type(value), Celery) and MADE_BY not in vars(value):
                location = _location(module, attribute)
                # The line that makes the app is better than a line of a module that imports the
                # app.
                if location or id(value) not in locations:
                    locations[id(value)] = (
                        location or str(getattr(module, "__file__", name)),
                        attribute,
                    )
    for location, attribute in locations.values():
        yield (
            f"{location}: {attribute} is a Celery app of its own. Tasks of [app] modules run, but "
            f"delay() and apply_async() of a task made with @{attribute}.task send to that app's "
            "broker, not to Warren's; name the app in [app] celery, or write @shared_task"
        )


def own_ways() -> Iterator[str]:
    """Yield a warning for each task that uses a feature of Celery which Warren's worker lacks.

    Call this after the modules have been imported.
    """
    from celery import Task, current_app

    if not hasattr(current_app, MADE_BY):
        return  # no module could be imported, so there is no app of Warren with tasks
    for name, task in sorted(current_app.tasks.items()):
        if task.rate_limit:
            yield (
                f"{_code(task.run)}{name}: rate_limit is counted in each worker's memory, and "
                "a task that waits for it keeps the worker from other tasks; write [quota:NAME] "
                "limit, and remove rate_limit"
            )
        if task.Request != Task.Request:
            yield f"{_code(task.run)}{name}: its own Request is not used: the worker needs Warren's"


def locks_without_a_store(settings: Settings) -> Iterator[str]:
    """Yield a warning for each task whose lock all hosts share, when hosts share no store for it.

    Call this after the modules have been imported. A lock in a `with` block is not seen.
    """
    from celery import current_app

    results = settings.results.url.get_secret_value() if settings.results.url else ""
    if settings.broker.kind != "rabbitmq" or results.startswith("redis"):
        return
    for name, task in sorted(current_app.tasks.items()) if hasattr(current_app, MADE_BY) else ():
        if getattr(task.run, LOCK_SCOPE, "host") == "fleet":
            yield (
                f"{_code(inspect.unwrap(task.run))}{name}: each call will fail, because hosts "
                "share no store for its lock (warren.unique, warren.once) on RabbitMQ alone; name "
                "a Redis in [results] url, or write scope='host' if the lock need not exclude "
                "other hosts"
            )


def silent_receivers() -> Iterator[str]:
    """Yield a warning for each receiver of a signal that Warren never sends.

    Call this after the modules have been imported.
    """
    from celery import signals

    for name, remedy in SILENT.items():
        for _key, connected in getattr(signals, name).receivers:
            receiver = connected() if isinstance(connected, ReferenceType) else connected
            said = getattr(receiver, "__qualname__", type(receiver).__qualname__)
            if receiver is not None:
                yield (
                    f"{_code(receiver)}{said} is never called: Warren does not send the signal "
                    f"{name}; {remedy}"
                )


def _code(function: object) -> str:
    """Return the file and line of a function followed by a colon; empty when they are unknown."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def _location(module: ModuleType, attribute: str) -> str:
    """Return the file and line where the module assigns this name; empty when there is none."""
    file = getattr(module, "__file__", None) or ""
    try:
        with open(file, encoding="utf-8") as source:
            tree = ast.parse(source.read())
    except (OSError, ValueError, SyntaxError, RecursionError):
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
                return f"{file}:{node.lineno}"
    return ""
