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


def silent_receivers() -> Iterator[str]:
    """Return a warning for each receiver that a task module has connected to a signal which never comes.

    Called when the modules have been imported.
    """
    from celery import signals

    for name, remedy in SILENT.items():
        for _key, connected in getattr(signals, name).receivers:
            receiver = connected() if isinstance(connected, ReferenceType) else connected
            code = getattr(receiver, "__code__", None)
            place = f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
            said = getattr(receiver, "__qualname__", type(receiver).__qualname__)
            if receiver is not None:
                yield f"{place}{said} is never called: Warren does not send the signal {name}; {remedy}"


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
