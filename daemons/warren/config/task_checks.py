"""Checks of the settings against the task code: importable modules and registered task names."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase

from warren.config.access_remedies import who_may
from warren.config.patterns import is_pattern
from warren.config.settings import Settings
from warren.config.shadowed_modules import shadows
from warren.config.units import shown
from warren.config.values import nearest
from warren.errors import Problem
from warren.redaction.masker import redact


def check_modules(
    settings: Settings,
    begins: Callable[[str], object] = str,
    option: str = "modules",
    modules: Sequence[str] | None = None,
) -> list[Problem]:
    """Import each module of [app] modules; return a problem for each module that is missing or
    fails.

    The caller has put [app] path on sys.path. A module that failed may already have registered
    tasks.

    begins: called with each module's name before its import. option: the option of [app] that names
    `modules`.
    """
    origin, path = settings.origin("app", option), settings.app.path
    if path is not None and os.path.isdir(path) and (remedy := who_may(path)):
        found = f"Permission denied at {path}"
        return [
            Problem(
                settings.origin("app", "path"),
                "app",
                "path",
                "a directory that the suite may read",
                found,
                remedy,
            )
        ]
    problems = shadows(settings)
    for module in settings.app.modules if modules is None else modules:
        expected = f"{module} to be a module that can be imported"
        begins(module)
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and f"{module}.".startswith(f"{error.name}."):
                remedy = "set [app] path to the directory that holds it, or install its package"
                found = f"no module {error.name}"
                problems.append(Problem(origin, "app", option, expected, found, remedy))
            else:
                problems.append(Problem(origin, "app", option, expected, failure(error)))
        # An operator must see any error that a module raises at its import.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            problems.append(Problem(origin, "app", option, expected, failure(error)))
    return problems


def check_tasks(settings: Settings, registered: Collection[str]) -> list[Problem]:
    """Return a problem for each task name or pattern that matches no registered task. Pure."""
    wanted = [
        (f"schedule:{name}", "task", entry.task)
        for name, entry in settings.schedules.items()
        if entry.task
    ]
    wanted += [
        (f"quota:{name}", "tasks", task)
        for name, quota in settings.quotas.items()
        for task in quota.tasks
    ]
    wanted += [
        (f"queue:{name}", "tasks", task)
        for name, queue in settings.queues.items()
        for task in queue.tasks
    ]
    problems = []
    for section, option, task in wanted:
        pattern = option == "tasks" and is_pattern(task)
        if task in registered or (pattern and any(fnmatchcase(name, task) for name in registered)):
            continue
        expected = "a pattern of registered tasks" if pattern else "a registered task"
        imported = "the app of [app] celery" if settings.app.celery else "[app] modules"
        remedy = nearest(task, registered) or f"is the task's module in {imported}?"
        problems.append(
            Problem(
                settings.origin(section, option), section, option, expected, shown(task), remedy
            )
        )
    return problems


def failure(error: BaseException) -> str:
    """Return the error that a module raised, and the module's line that led to the error.

    That line is the first line below the frames of the import machinery.
    """
    said = redact(f"{type(error).__name__}: {error}").splitlines()[0][:200]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} at {error.filename}:{error.lineno}"
    frames = [
        each
        for each in traceback.extract_tb(error.__traceback__)[1:]
        if not _of_import(each.filename)
    ]
    return f"{said} at {frames[0].filename}:{frames[0].lineno}" if frames else said


def _of_import(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename == importlib.__file__
