"""Cron lines whose ranges pass over the end of their field, beside Celery's own reading of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab_parser
from hypothesis import given
from hypothesis import strategies as st

from warren.beat.cron import next_of
from warren.config.cron_line import cron

#: Of each field: its place in the line, its first value, and how many values it has.
FIELDS = {
    "minute": (0, 0, 60),
    "hour": (1, 0, 24),
    "day": (2, 1, 31),
    "month": (3, 1, 12),
    "weekday": (4, 0, 7),
}


@pytest.mark.parametrize("field", FIELDS)
@given(data=st.data())
def test_a_range_means_what_it_means_to_celery(field: str, data: st.DataObject) -> None:
    """Every range of every field, with every step, has the values that Celery's reader finds."""
    place, first, size = FIELDS[field]
    values = st.integers(first, first + size - 1)
    begin, end, step = data.draw(values), data.draw(values), data.draw(st.integers(1, size))
    text = f"{begin}-{end}/{step}"
    words = ["*"] * 5
    words[place] = text
    found = cron(" ".join(words)).split()[place]
    if begin > end:
        assert {int(value) for value in found.split(",")} == crontab_parser(size, first).parse(text)
    else:
        assert found == text


def test_a_weekend_ticks_on_both_days() -> None:
    """`sat-sun` ticks on Saturday and on Sunday, and then a week later."""
    at, days = datetime(2026, 11, 27, tzinfo=UTC), []
    for _ in range(4):
        at = datetime.fromtimestamp(next_of(cron("0 6 * * sat-sun"), at.timestamp(), UTC), UTC)  # type: ignore[arg-type]
        days.append(at)
    saturday = datetime(2026, 11, 28, 6, tzinfo=UTC)
    assert days == [saturday + timedelta(days=each) for each in (0, 1, 7, 8)]
