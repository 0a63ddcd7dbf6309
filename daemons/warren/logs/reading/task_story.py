"""The story of a task, one sentence per line: sent, begun, retried, postponed, requeued, ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from warren.logs.reading.render_line import (
    colour_of,
    local,
    shown,
    text_of,
    traceback_of,
    who,
    wrapped,
)
from warren.logs.reading.selection import SHORT_ID
from warren.system.printable import printable

Fields = dict[str, Any]


def sentences(fields: Fields, width: int = 0) -> Iterator[str]:
    """Return a log line as lines of a story. Colours are ANSI codes.

    A line that is not about a task is formatted by `shown`.
    """
    sentence_of = _SENTENCES.get(str(fields.get("event")))
    if sentence_of is None:
        yield shown(fields, True, width)
        return
    if fields.get("event") == "task_started" and (sent := _sent_at(fields)):
        by = f" by task {_short(fields['parent_id'])}" if fields.get("parent_id") else ""
        yield _line({**fields, "timestamp": sent, "level": "info"}, f"sent{by}", width)
    yield _line(fields, sentence_of(fields), width) + traceback_of(fields)


def _line(fields: Fields, sentence: str, width: int) -> str:
    level = str(fields.get("level", ""))
    task = f"{text_of(fields.get('task') or 'task')} {_short(fields.get('task_id'))}"
    parts = [
        click.style(local(str(fields.get("timestamp", ""))), dim=True),
        who(fields, True),
        click.style(printable(task), fg="cyan"),
        click.style(printable(sentence), fg=colour_of(level)),
    ]
    return wrapped(" ".join(parts), width)


def _sent_at(fields: Fields) -> str:
    """Return when a first attempt was sent, by its sender's clock.

    Returns an empty text if this is unknown.
    """
    waited = fields.get("waited_s")
    if fields.get("attempt") != 1 or not isinstance(waited, int | float):
        return ""
    try:
        return (
            datetime.fromisoformat(str(fields.get("timestamp"))) - timedelta(seconds=waited)
        ).isoformat()
    except (ValueError, OverflowError):
        return ""


def _short(task_id: Any) -> str:
    return text_of(task_id)[:SHORT_ID] if task_id else ""


def _seconds(value: Any) -> str:
    try:
        return f"{float(value):.3g} s" if isinstance(value, int | float) else text_of(value)
    except OverflowError:  # an integer with hundreds of digits: anybody may have written the line
        return text_of(value)


def _took(fields: Fields) -> str:
    return f" after {_seconds(fields['ran_s'])}" if fields.get("ran_s") is not None else ""


def _why(fields: Fields) -> str:
    return f": {text_of(fields['reason'])}" if fields.get("reason") else ""


def _tick(fields: Fields) -> str:
    return f"sent by beat, for its entry {text_of(fields.get('entry'))}"


def _started(fields: Fields) -> str:
    queue = f" from {text_of(fields['queue'])}" if fields.get("queue") else ""
    waited = (
        f", waited {_seconds(fields['waited_s'])}" if fields.get("waited_s") is not None else ""
    )
    return (
        f"attempt {text_of(fields.get('attempt'))} began{queue}{waited}, process "
        f"{text_of(fields.get('pid'))}"
    )


def _retried(fields: Fields) -> str:
    again = f", again in {_seconds(fields['again_in_s'])}" if "again_in_s" in fields else ""
    again = again or (f", again at {text_of(fields['again_at'])}" if "again_at" in fields else "")
    return f"attempt {text_of(fields.get('attempt'))} is over{_took(fields)}{again}{_why(fields)}"


def _postponed(fields: Fields) -> str:
    return f"waits in the broker, due in {_seconds(fields.get('due_in_s'))}"


def _requeued(fields: Fields) -> str:
    lost = f", process lost for the {_nth(fields['crashes'])} time" if "crashes" in fields else ""
    again = f", again in {_seconds(fields['again_in_s'])}" if "again_in_s" in fields else ""
    return f"went back to its queue{lost}{again}{_why(fields)}"


def _nth(number: Any) -> str:
    names = {1: "1st", 2: "2nd", 3: "3rd"}
    return names[number] if isinstance(number, int) and number in names else f"{text_of(number)}th"


_SENTENCES: dict[str, Callable[[Fields], str]] = {
    "tick_sent": _tick,
    "task_postponed": _postponed,
    "task_started": _started,
    "task_retried": _retried,
    "task_requeued": _requeued,
    "task_unknown": lambda fields: (
        f"no module of this worker has the task: back to its queue{_why(fields)}"
    ),
    "task_succeeded": lambda fields: f"succeeded{_took(fields)}",
    "task_failed": lambda fields: f"failed{_took(fields)}{_why(fields)}",
    "task_ignored": lambda fields: f"has no result of its own{_took(fields)}{_why(fields)}",
    "task_revoked": lambda fields: f"will not run, or was ended{_why(fields)}",
    "message_rejected": lambda fields: f"its message was rejected{_why(fields)}",
}
