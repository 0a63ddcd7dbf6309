"""One entry of a project's beat_schedule as the options of a section [schedule:NAME]. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from celery.beat import ScheduleEntry
from kombu import Queue
from kombu.utils.json import dumps
from pydantic import ValidationError

from warren.app.celery_schedules import rule_of, text_of
from warren.config import ScheduleSettings
from warren.config.units import Unexpected, shown

_KEYS = ("task", "schedule", "args", "kwargs", "options", "relative")
#: What to do about an entry that cannot be taken, by its part.
_REMEDIES = {
    "options": "remove the others, or set them at the task, as in @app.task(ignore_result=True)",
    "args": "let the task compute what no JSON has",
    "kwargs": "let the task compute what no JSON has",
}
#: The part of an entry that gives an option.
_PARTS = {"every": "schedule", "cron": "schedule", "queue": "options", "expires": "options"}


class Wrong(Unexpected):
    """A part of an entry that has no counterpart in a section; `option` names the part."""

    def __init__(self, option: str, error: Unexpected) -> None:
        super().__init__(error.expected, error.found)
        self.option = option
        self.remedy = _REMEDIES.get(option, "")


def as_section(entry: Any) -> tuple[ScheduleSettings | None, list[Wrong]]:
    """Return the section with the same meaning, and what of the entry no section can mean.

    The section is None when something is wrong.
    """
    if isinstance(entry, ScheduleEntry):
        entry = {key: getattr(entry, key, None) for key in _KEYS}
    if not isinstance(entry, Mapping):
        found = Unexpected("a dict with task and schedule", f"an object of type {_type(entry)}")
        return None, [Wrong("", found)]
    wrong = [
        Wrong("", Unexpected(f"only {', '.join(_KEYS)}", shown(str(key))))
        for key in entry
        if key not in _KEYS
    ]
    values: dict[str, Any] = {}
    for key, read in _READERS.items():
        try:
            values |= read(entry)
        except Unexpected as error:
            wrong.append(Wrong(key, error))
    try:
        section = ScheduleSettings.model_validate(values)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            cause = each.get("ctx", {}).get("error")
            refused = cause if isinstance(cause, Unexpected) else Unexpected(each["msg"], "another")
            option = str(each["loc"][0])
            wrong.append(Wrong(_PARTS.get(option, option), refused))
        return None, wrong
    return (None if wrong else section), wrong


def _task(entry: Mapping[str, Any]) -> dict[str, Any]:
    task = entry.get("task")
    if not isinstance(task, str):
        raise Unexpected("the name of a task", f"an object of type {_type(task)}")
    return {"task": task}


def _rule(entry: Mapping[str, Any]) -> dict[str, Any]:
    return rule_of(entry.get("schedule"), bool(entry.get("relative")))


def _args(entry: Mapping[str, Any]) -> dict[str, Any]:
    args = entry.get("args") or ()
    if not isinstance(args, list | tuple):
        raise Unexpected("a list", f"an object of type {_type(args)}")
    return {"args": _json(list(args))}


def _kwargs(entry: Mapping[str, Any]) -> dict[str, Any]:
    kwargs = entry.get("kwargs") or {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(key, str) for key in kwargs):
        raise Unexpected("a dict with names", f"an object of type {_type(kwargs)}")
    return {"kwargs": _json(dict(kwargs))}


def _options(entry: Mapping[str, Any]) -> dict[str, Any]:
    given = entry.get("options") or {}
    if not isinstance(given, Mapping):
        raise Unexpected("a dict", f"an object of type {_type(given)}")
    options = {key: value for key, value in given.items() if value is not None}
    others = sorted(map(str, options.keys() - {"queue", "expires"}))
    if others:
        raise Unexpected("only queue and expires among the options", ", ".join(others))
    values: dict[str, Any] = {}
    if "queue" in options:
        queue = options["queue"]
        values["queue"] = queue.name if isinstance(queue, Queue) else str(queue)
    if "expires" in options:
        expires = options["expires"]
        if not isinstance(expires, int | float) or isinstance(expires, bool) or expires <= 0:
            raise Unexpected(
                "expires as a number of seconds", f"an object of type {_type(expires)}"
            )
        values["expires"] = text_of(expires)
    return values


def _json(value: Any) -> Any:
    """Return the value as a message carries it: Celery's JSON also has dates and the like."""
    try:
        return json.loads(dumps(value))
    # kombu and the value's own code decide which error this is.
    except Exception:  # noqa: BLE001
        raise Unexpected("JSON", "a value that JSON does not have") from None


def _type(value: object) -> str:
    return type(value).__name__


_READERS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "task": _task,
    "schedule": _rule,
    "args": _args,
    "kwargs": _kwargs,
    "options": _options,
}
