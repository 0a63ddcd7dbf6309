"""One line of a log: its time, which costs little to find, and its fields, for those who need them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

# What log_line.py writes begins like this, and a time of it has a fixed width.
_HEAD = b'{"timestamp":"'
_BEGIN, _END = len(_HEAD), len(_HEAD) + len("2026-01-31T23:59:59.000000Z")


def moment(time: datetime) -> bytes:
    """A time with a zone as the lines have it: UTC, microseconds; sorts as text."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


def later(time: bytes, seconds: float) -> bytes:
    """A time as `moment` has it, and so many seconds on; the same where the calendar ends."""
    try:
        return moment(datetime.fromisoformat(time.decode()) + timedelta(seconds=seconds))
    except OverflowError:
        return time


def time_of(raw: bytes) -> bytes:
    """When the line was made, as `moment` has it. Raises ValueError for what is no line of a log."""
    if raw.startswith(_HEAD) and raw[_END - 1 : _END + 1] == b'Z"' and raw.endswith(b"}\n"):
        return raw[_BEGIN:_END]
    return _stated(fields_of(raw))


def fields_of(raw: bytes) -> dict[str, Any]:
    """The line as it was logged. Raises ValueError for what is no line of a log."""
    try:
        fields = json.loads(raw)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    return fields


def _stated(fields: dict[str, Any]) -> bytes:
    """The time in a line that another program wrote its own way."""
    time = datetime.fromisoformat(str(fields.get("timestamp")))
    try:
        return moment(time if time.tzinfo else time.replace(tzinfo=UTC))
    except OverflowError:  # of another zone, at the ends of the calendar
        raise ValueError("it has no time in UTC") from None
