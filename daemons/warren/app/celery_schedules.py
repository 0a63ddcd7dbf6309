"""Celery's schedules as options of [schedule:NAME]: `every` or `cron`. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from math import isfinite
from typing import Any

from celery.schedules import crontab, schedule

from warren.config.units import Unexpected, duration_text

#: Seconds, the number of them in the next larger unit, and the line of every nth of them.
_ALIGNED = ((86400, 1, "0 0 * * *"), (3600, 24, "0 {} * * *"), (60, 60, "{} * * * *"))
_FORM = "a number of seconds, a timedelta or a crontab"
_BOTH = (
    "a crontab that limits day_of_month or day_of_week, or both with day_of_month in whole weeks "
    "such as 1-7 or 8-14"
)


def rule_of(found: Any, relative: bool) -> dict[str, str]:
    """Return the option `every` or `cron` that ticks as this schedule does. Raises Unexpected.

    A subclass may tick by rules of its own, and so may a clock of its own.
    """
    if isinstance(found, timedelta | int | float) and not isinstance(found, bool):
        return _interval(found, relative)
    if getattr(found, "nowfun", None) is not None:
        raise Unexpected(_FORM, "a schedule with a nowfun")
    if type(found) is schedule:
        return _interval(found.run_every, relative or found.relative)
    if type(found) is crontab:
        return {"cron": cron_of(found)}
    name = "no schedule" if found is None else f"a schedule of type {type(found).__name__}"
    raise Unexpected(_FORM, name)


def cron_of(found: crontab) -> str:
    """Return the cron line that ticks when the crontab does. Raises Unexpected.

    Celery's crontab ticks where the day of the month *and* the weekday match. A cron line with both
    ticks where one of them does, but the first Monday of a month has a sign of its own.
    """
    days, weekdays = _text(found.day_of_month, 1, 31), _text(found.day_of_week, 0, 7)
    if days != "*" and weekdays != "*":
        days, weekdays = "*", _in_weeks(found.day_of_month, found.day_of_week)
    fields = (_text(found.minute, 0, 60), _text(found.hour, 0, 24), days)
    return " ".join((*fields, _text(found.month_of_year, 1, 12), weekdays))


def _interval(found: timedelta | float, relative: bool) -> dict[str, str]:
    seconds = found.total_seconds() if isinstance(found, timedelta) else float(found)
    if not relative or seconds < 60:  # Celery rounds to the minute at least
        return {"every": text_of(seconds)}
    # relative: at full minutes, hours or days of the time zone.
    for size, number, line in _ALIGNED:
        count = int(seconds // size)
        if count:
            if seconds % size or number % count:
                break
            return {"cron": line.format("*" if count == 1 else f"*/{count}")}
    raise Unexpected(
        "an interval that divides a day, an hour or a minute, because it is relative",
        text_of(seconds),
    )


def text_of(seconds: float) -> str:
    """Return the duration as an INI file has it. Raises Unexpected."""
    if not isfinite(seconds):
        raise Unexpected("a number of seconds", str(seconds))
    return duration_text(seconds)


def _in_weeks(days: Collection[int], weekdays: Collection[int]) -> str:
    """Return the weekdays with the number of their week: 1#2 is the second Monday of the month."""
    weeks = [week for week in range(1, 6) if set(_week(week)) <= set(days)]
    if {day for week in weeks for day in _week(week)} != set(days):
        raise Unexpected(_BOTH, "both, in a way that no cron line has")
    return ",".join(f"{weekday}#{week}" for weekday in sorted(weekdays) for week in weeks)


def _week(number: int) -> range:
    return range(7 * number - 6, min(7 * number, 31) + 1)


def _text(values: Collection[int], first: int, size: int) -> str:
    """Return the field of a cron line with these values: *, */5 or 1-5,7."""
    found, last = sorted(values), first + size - 1
    if not found:
        raise Unexpected("a crontab with a value in each field", "a field without any")
    if len(found) == size:
        return "*"
    step = found[1] - found[0] if len(found) > 1 else 0
    # In the field of weekdays */2 would also count the Sunday that is 7.
    if step > 1 and size != 7 and found == list(range(first, last + 1, step)):
        return f"*/{step}"
    parts: list[list[int]] = []
    for value in found:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
