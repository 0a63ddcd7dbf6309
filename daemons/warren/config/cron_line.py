"""Cron lines: people's form is converted to the form that the cron library reads. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from warren.config.units import Unexpected, shown

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: For each field: its first value, the number of its values, and their names.
_FIELDS = ((0, 60, ()), (0, 24, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 7, _DAYS))
_RANGE = re.compile(
    r"([a-z]{3}|[0-9]{1,2})-([a-z]{3}|[0-9]{1,2})(?:/([1-9][0-9]?))?", re.ASCII | re.IGNORECASE
)


def cron(text: str) -> str:
    """Return the cron line as five fields.

    Raises Unexpected when the line is not valid, or does not fire in the coming decades. Beyond the
    library's syntax this accepts @hourly and the other nicknames, and ranges that pass over the end
    of a field (22-4, sat-sun).
    """
    one_of = ", ".join(_NICKNAMES)
    expected = (
        "a cron expression such as 0 3 * * mon-fri (minute, hour, day, month, weekday), or one of "
        f"{one_of}"
    )
    fields = _NICKNAMES.get(text.strip().lower(), text).split()
    if len(fields) != len(_FIELDS):
        raise Unexpected(expected, shown(text))
    line = " ".join(_unwrapped(word, *field) for word, field in zip(fields, _FIELDS, strict=True))
    try:
        next(CronSim(line, datetime(2024, 1, 1, tzinfo=UTC)))
    except StopIteration:
        raise Unexpected(expected, f"{shown(text)}, which never fires") from None
    except (CronSimError, ValueError) as error:
        raise Unexpected(expected, f"{shown(text)} ({str(error)[:60]})") from None
    return line


def _unwrapped(word: str, first: int, size: int, names: tuple[str, ...]) -> str:
    """Return the field, with each range that passes over the field's end written as a list."""
    return ",".join(_values(part, first, size, names) for part in word.split(","))


def _values(part: str, first: int, size: int, names: tuple[str, ...]) -> str:
    found = _RANGE.fullmatch(part)
    if found is None:
        return part
    begin, end = (_number(word, first, names) for word in found.groups()[:2])
    last = first + size - (names is not _DAYS)  # Sunday is 7 as well as 0
    # The library itself reads every other range, and refuses values that the field does not have.
    if not first <= end < begin <= last:
        return part
    steps = range(begin - first, end - first + size + 1, int(found[3] or 1))
    return ",".join(str(first + step % size) for step in steps)


def _number(word: str, first: int, names: tuple[str, ...]) -> int:
    """Return the number that a word means.

    Returns -1, which no field has, for a name that this field does not have.
    """
    if word.isdigit():
        return int(word)
    return first + names.index(word.lower()) if word.lower() in names else -1
