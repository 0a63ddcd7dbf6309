"""One log line: its fields, and how any values become one line of JSON without a secret."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

from structlog.typing import EventDict

from warren.logs.events import Event
from warren.logs.line_limit import bounded
from warren.redaction.masker import redact_value, suspicious
from warren.system.obstacles import MovedAway

LEVELS = ("debug", "info", "warning", "error", "critical")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "_logger", "_name"}
_TASK = ("task_id", "root_id", "task", "queue", "attempt", "waited_s", "ran_s")
_FIXED = frozenset(
    ("timestamp", "level", "event", "daemon", "program", "host", "pid", "logger", "message")
)

#: The deepest nesting that is kept; deeper values become text. A value that contains itself must
#: end, and nobody reads so deep a value.
DEPTH = 8

#: The most bits of a number that stays a number; a longer number becomes text. Python refuses to
#: print more than 4,300 digits, and readers refuse to read them.
_BITS = 10_000

# Valid in JSON, but each is a surrogate or, for some readers (str.splitlines is one), a line end.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Writer:
    """The writer of a line: the fields with which each of its lines begins."""

    daemon: str
    program: str
    host: str

    def line(
        self, created: float, level: str, event: str, program: str | None = None
    ) -> dict[str, object]:
        """Return the fields with which a line begins.

        created: seconds since the epoch. program: the program that the line is about, if it is
        another than the writer, as in a line of supervisord.
        """
        moment = datetime.fromtimestamp(created, UTC)
        return {
            "timestamp": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": level,
            "event": event,
            "daemon": self.daemon,
            "program": program or self.program,
            "host": self.host,
            "pid": os.getpid(),  # read for each line, because pool children inherit this object
        }

    def shape(self, _logger: object, _method: str, fields: EventDict) -> EventDict:
        """Return the fields of a record, the fixed fields first.

        An event that is not in events.py is the message of a library or of a task's author.
        """
        record, event = fields.pop("_record"), fields.pop("event")
        fields.pop("_from_structlog")
        known = isinstance(event, Event)
        name = str(event.value) if known else str(Event.RECORD.value)
        line = self.line(
            record.created, level_name(record.levelno), name, fields.pop("program", None)
        )
        if not known:
            line |= {"logger": record.name, "message": event}
        line |= {key: fields.pop(key) for key in _TASK if key in fields}
        for key, value in fields.items():
            line[f"extra_{key}" if key in line else key] = value
        return line

    def own(
        self, created: float, level: int, event: Event, fields: Mapping[str, object]
    ) -> dict[str, object]:
        """Return the fields of one of Warren's own events.

        The fixed fields come first, then the task's fields, then the event's own.
        """
        about = fields.get("program")
        line = self.line(created, level_name(level), event.value, str(about) if about else None)
        for key in _TASK:
            if key in fields:
                line[key] = fields[key]
        for key, value in fields.items():
            if key not in _TASK and (key != "program" or not about):
                line[f"extra_{key}" if key in line else key] = value
        return line

    def unformatted(self, record: logging.LogRecord, error: Exception) -> str:
        """Return the line of a record whose message and arguments do not fit."""
        line = self.line(record.created, level_name(record.levelno), Event.RECORD.value)
        line |= {
            "logger": record.name,
            "message": safe_text(record.msg),
            "arguments": safe_text(record.args),
        }
        return render(line | {"unformatted": safe_text(error)})

    def lines_lost(self, path: Path, number: int, error: str) -> bytes:
        line = self.line(datetime.now(UTC).timestamp(), "error", Event.CANNOT_WRITE.value)
        return f"{render(line | {'path': str(path), 'lost': number, 'error': error})}\n".encode()

    def move_away(self, kept: MovedAway) -> bytes:
        """Return the line that names the obstacle that was found at the path of the log."""
        line = self.line(datetime.now(UTC).timestamp(), "warning", Event.FILE_MOVED_AWAY.value)
        return f"{render(line | kept._asdict())}\n".encode()


def level_name(number: int) -> str:
    """Return the standard level at or below `number`: libraries invent levels in between."""
    return LEVELS[max(0, min(number // 10, len(LEVELS)) - 1)]


def extra(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Add the fields that a caller gave as `extra=`.

    A field that says who wrote the line is never replaced.
    """
    record: logging.LogRecord = fields["_record"]
    for key, value in vars(record).items():
        # Celery's `data` holds the arguments of a task, which are private.
        if key in _STANDARD or (key == "data" and record.name.startswith("celery.")):
            continue
        fields[f"extra_{key}" if key in fields or key in _FIXED else key] = value
    return fields


def render(fields: Mapping[str, object]) -> str:
    """Return the fields as one JSON object in one line that encodes to UTF-8.

    A value that JSON does not know becomes its text. So do NaN and infinity, because jq and other
    readers refuse these.
    """
    try:
        line = _without_secrets(bounded(fields, _dump))
    except (TypeError, ValueError, RecursionError):
        line = _without_secrets(bounded(_plain(fields, DEPTH, ()), _dump))
    return line if line.isascii() else _UNSAFE.sub(_escape, line)


def safe_text(value: object) -> str:
    """Return the text of any object, even of one whose `__repr__` raises."""
    try:
        if isinstance(value, (os.PathLike, UUID)):
            return str(value)
        return value.isoformat() if isinstance(value, (date, time)) else repr(value)
    # The object may come from any code, and an error in that code must not lose the line.
    except Exception as error:  # noqa: BLE001
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def told(fields: Mapping[str, object]) -> str:
    """Return an event as text: its meaning and its fields, without a traceback."""
    event = fields["event"]
    texts = [
        f"{key} {value}"
        for key, value in fields.items()
        if key not in ("event", "exc_info") and not key.startswith("_")
    ]
    meaning = event.meaning.partition("; `")[0] if isinstance(event, Event) else str(event)
    return f"{meaning} ({', '.join(texts)})" if texts else meaning


def _dump(value: object) -> str:
    return _encode(value)


#: Bound once: `json.dumps` would make an encoder for each line, and a task may replace `dumps`.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=safe_text
).encode


def _plain(value: object, depth: int, within: tuple[int, ...]) -> Any:
    """Return a copy of `value` with plain JSON types.

    within: the ids of the outer containers.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _BITS else safe_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if id(value) in within:
        return "<itself>"
    inner = (*within, id(value))
    if isinstance(value, Mapping) and depth:
        return {_key(key): _plain(item, depth - 1, inner) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_plain(item, depth - 1, inner) for item in value]
    return safe_text(value)


def _key(key: object) -> str:
    return str(key) if isinstance(key, (str, int)) else safe_text(key)


def _without_secrets(line: str) -> str:
    """Return the line without secrets.

    When the line may hold a secret, each text in it is examined by itself, so that no escape hides
    the end of a secret.
    """
    return _dump(redact_value(json.loads(line))) if suspicious(line) else line


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # A lone surrogate has no meaning to any reader, so it becomes text. Each other character
    # becomes an escape with the same value.
    return f"\\\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"
