"""One line of a log: its time, which is cheap to find, and its fields."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

# The lines of formatter.py begin like this, and their times have a fixed width.
_HEAD = b'{"timestamp":"'
_BEGIN, _END = len(_HEAD), len(_HEAD) + len("2026-01-31T23:59:59.000000Z")
_FRACTION = _BEGIN + len("2026-01-31T23:59:59.")


def moment(time: datetime) -> bytes:
    """Return a time with a zone in the form of the log lines: UTC, with microseconds.

    Times in this form sort as text.
    """
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


def later(time: bytes, seconds: float) -> bytes:
    """Return a time in the form of `moment` that is so many seconds later.

    At the end of the calendar, returns the given time.
    """
    try:
        return moment(datetime.fromisoformat(time.decode()) + timedelta(seconds=seconds))
    except OverflowError:
        return time


def time_of(raw: bytes) -> bytes:
    """Return the time of the line, in the form of `moment`.

    Raises ValueError if this is not a log line.
    """
    usual = raw.startswith(_HEAD) and raw[_END - 1 : _END + 1] == b'Z"' and raw.endswith(b"}\n")
    # A task may write to the log, so the text at this position may not be a time.
    if usual and raw[_FRACTION : _END - 1].isdigit() and _is_second(raw[_BEGIN:_FRACTION]):
        return raw[_BEGIN:_END]
    return _stated(fields_of(raw))


@lru_cache(maxsize=256)  # neighbouring lines are mostly of the same second
def _is_second(text: bytes) -> bool:
    """Return whether this is a time up to the point before its fraction, as `moment` writes it."""
    try:
        return moment(datetime.fromisoformat(text[:-1].decode()).replace(tzinfo=UTC)).startswith(
            text
        )
    except ValueError:
        return False


def fields_of(raw: bytes) -> dict[str, Any]:
    """Return the fields of the line. Raises ValueError if this is not a log line."""
    try:
        fields = json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    return fields


def _stated(fields: dict[str, Any]) -> bytes:
    """Return the time of a line that another program has written in a form of its own."""
    time = datetime.fromisoformat(str(fields.get("timestamp")))
    try:
        return moment(time if time.tzinfo else time.replace(tzinfo=UTC))
    except OverflowError:  # a time in another zone, at an end of the calendar
        raise ValueError("it has no time in UTC") from None
