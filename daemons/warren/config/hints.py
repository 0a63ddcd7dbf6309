"""What is not wrong, and yet hardly meant: told by `warren check` as warnings."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from types import ModuleType
from weakref import ReferenceType

from warren.config.settings import Settings

#: Two names at least so alike (0 to 1) are taken for one that was misspelt: lapotp for laptop.
_ALIKE = 0.8
#: Celery's signals that no daemon of Warren's sends, and what to use in their place.
SILENT = {
    "beat_init": "a module's own code runs in beat, too, at its import",
    "beat_embedded_init": "a module's own code runs in beat, too, at its import",
    "heartbeat_sent": "`warren status --json` has the worker's heart",
    "after_setup_logger": "a module may add handlers to the root logger at its import",
    "after_setup_task_logger": "a module may add handlers to celery.task at its import",
    "user_preload_options": "options stand in the INI files",
}
#: The attribute of an app that Warren has made.
MADE_BY = "made_by_warren"


def misspelt_hosts(settings: Settings) -> Iterator[str]:
    """Return a warning for each file of hosts/ that no host reads and whose name is nearly this host's."""
    folder, host = settings.folder / "hosts", settings.host
    if (folder / f"{host}.ini").exists():
        return
    for file in sorted(folder.glob("*.ini")):
        if SequenceMatcher(None, file.stem.lower(), host.lower()).ratio() >= _ALIKE:
            yield f"{file}: it is for a host {file.stem}, and this one is {host}, which has no file: is the name misspelt?"


def foreign_apps() -> Iterator[str]:
    """Return a warning for each Celery app that a task module has made: code that uses it does not send through Warren's.

    Called when the modules have been imported.
    """
    from celery import Celery

    places: dict[int, tuple[str, str]] = {}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in ("celery", "kombu", "warren") or not isinstance(module, ModuleType):
            continue
        for attribute, value in sorted(vars(module).items()):
            # By its type itself: a proxy such as current_app looks like an app to isinstance.
            if issubclass(type(value), Celery) and MADE_BY not in vars(value):
                place = _place(module, attribute)
                if place or id(value) not in places:  # where it is made, not where it is imported
                    places[id(value)] = (place or str(getattr(module, "__file__", name)), attribute)
    for place, attribute in places.values():
        yield (
            f"{place}: {attribute} is a Celery app of its own. Tasks of [app] modules run, but delay() and apply_async() of one "
            f"made with @{attribute}.task send to that app's broker, not to Warren's; write @shared_task, and take the app away"
        )


def own_ways() -> Iterator[str]:
    """Return a warning for each task that asks for a way of Celery's which Warren's worker does not go.

    Called when the modules have been imported.
    """
    from celery import Task, current_app

    if not hasattr(current_app, MADE_BY):
        return  # the modules could not be imported, and no app of Warren's has tasks
    for name, task in sorted(current_app.tasks.items()):
        if task.rate_limit:
            yield (
                f"{_code(task.run)}{name}: rate_limit is counted in each worker's memory, and what waits for it keeps the worker "
                "from other tasks; write [quota:NAME] limit, and take it away"
            )
        if task.Request != Task.Request:
            yield f"{_code(task.run)}{name}: its own Request is not used: the worker needs Warren's"


def silent_receivers() -> Iterator[str]:
    """Return a warning for each receiver that a task module has connected to a signal which never comes.

    Called when the modules have been imported.
    """
    from celery import signals

    for name, remedy in SILENT.items():
        for _key, connected in getattr(signals, name).receivers:
            receiver = connected() if isinstance(connected, ReferenceType) else connected
            said = getattr(receiver, "__qualname__", type(receiver).__qualname__)
            if receiver is not None:
                yield f"{_code(receiver)}{said} is never called: Warren does not send the signal {name}; {remedy}"


def _code(function: object) -> str:
    """Return the file and line of a function, with a colon behind; nothing when that cannot be seen."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def _place(module: ModuleType, attribute: str) -> str:
    """Return the file and line where the module gives this name a value; empty when that cannot be seen."""
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
