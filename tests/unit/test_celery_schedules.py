"""Celery's schedules as `every` and `cron`: what ticks at the same times, and what cannot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.schedules import crontab, schedule
from cronsim import CronSim

from warren.app.celery_schedules import cron_of, rule_of
from warren.config.cron_line import cron
from warren.config.units import Unexpected


@pytest.mark.parametrize(
    ("found", "relative", "rule"),
    [
        (30, False, {"every": "30s"}),
        (0.5, False, {"every": "500ms"}),
        (timedelta(hours=36), False, {"every": "36h"}),
        (schedule(timedelta(minutes=5)), False, {"every": "5m"}),
        (30, True, {"every": "30s"}),
        (timedelta(minutes=1), True, {"cron": "* * * * *"}),
        (timedelta(minutes=5), True, {"cron": "*/5 * * * *"}),
        (schedule(timedelta(hours=1), relative=True), False, {"cron": "0 * * * *"}),
        (timedelta(hours=6), True, {"cron": "0 */6 * * *"}),
        (timedelta(days=1), True, {"cron": "0 0 * * *"}),
        (crontab(), False, {"cron": "* * * * *"}),
        (crontab(minute=0, hour=3), False, {"cron": "0 3 * * *"}),
        (crontab(minute="*/15"), False, {"cron": "*/15 * * * *"}),
        (crontab(minute="10,20-22", hour="9-17"), False, {"cron": "10,20-22 9-17 * * *"}),
        (crontab(0, 22, day_of_week="fri-mon"), False, {"cron": "0 22 * * 0-1,5-6"}),
        (crontab(0, 0, day_of_week="*/2"), False, {"cron": "0 0 * * 0,2,4,6"}),
        (crontab(0, 0, day_of_month="*/2"), False, {"cron": "0 0 */2 * *"}),
        (crontab(0, 0, day_of_month=31, month_of_year="jan,jul"), False, {"cron": "0 0 31 */6 *"}),
        (crontab(0, 0, day_of_week="mon", day_of_month="1-7"), False, {"cron": "0 0 * * 1#1"}),
    ],
)
def test_what_ticks_alike(found: Any, relative: bool, rule: dict[str, str]) -> None:
    """Numbers, timedeltas, crontabs; relative ones at full minutes, hours and days."""
    assert rule_of(found, relative) == rule


class Moon(crontab):
    """A schedule with rules of its own."""


@pytest.mark.parametrize(
    ("found", "relative", "said"),
    [
        (None, False, "no schedule"),
        (True, False, "a schedule of type bool"),
        ("* * * * *", False, "a schedule of type str"),
        (Moon(), False, "a schedule of type Moon"),
        (crontab(nowfun=datetime.now), False, "a schedule with a nowfun"),
        (timedelta(minutes=90), True, "90m"),
        (timedelta(minutes=7), True, "7m"),
        (timedelta(days=7), True, "7d"),
        (crontab(0, 0, day_of_week="mon", day_of_month="1-8"), False, "both, in a way that no"),
        (crontab(minute=set()), False, "a field without any"),
    ],
)
def test_what_cannot(found: Any, relative: bool, said: str) -> None:
    """It is refused, because it would tick at other times."""
    with pytest.raises(Unexpected) as caught:
        rule_of(found, relative)
    assert said in caught.value.found


@pytest.mark.parametrize(
    "fields",
    [
        {"minute": "*/7", "hour": "*/5"},
        {"minute": 30, "hour": "22-2", "day_of_week": "sat,sun"},
        {"minute": 0, "hour": 12, "day_of_month": "*/10"},
        {"minute": 0, "hour": 1, "day_of_month": "29-31", "day_of_week": "sun-tue"},
        {"minute": 0, "hour": 1, "day_of_month": "1-7,15-21", "day_of_week": "mon"},
        {"minute": 0, "hour": 1, "day_of_month": "1-7,29-31", "month_of_year": "2-11/3"},
        {"minute": 0, "hour": 0, "day_of_week": "*/3"},
    ],
)
def test_the_ticks_of_four_years(fields: dict[str, Any]) -> None:
    """The cron line fires in each minute that the crontab names, and in no other."""
    found = crontab(**fields)
    line = cron(cron_of(found))
    begin = datetime(2027, 1, 1, tzinfo=UTC)
    days = [begin + timedelta(days=number) for number in range(4 * 365 + 1)]
    expected = [
        day.replace(hour=hour, minute=minute)
        for day in days
        if day.day in found.day_of_month
        and day.month in found.month_of_year
        and day.isoweekday() % 7 in found.day_of_week
        for hour in sorted(found.hour)
        for minute in sorted(found.minute)
    ]
    ticks = CronSim(line, begin - timedelta(seconds=1))
    assert [next(ticks) for _ in expected] == expected
