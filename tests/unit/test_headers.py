"""What is read out of a provider's response."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.quotas.headers import LONGEST_PAUSE, retry_after

#: Numbers in them that no date holds.
WRONG_DATES = [
    "Sun, 99 Mar 2026 12:00:00 GMT",
    "Nov 9999 " + "9" * 60,
    "Sun, 01 Mar 2026 12:00:30 +" + "9" * 30,
]
WRONG_NUMBERS = [
    "",
    " ",
    "soon",
    "-5",
    "+5",
    "1e3",
    "0x10",
    "1,5",
    "1.2.3",
    ".",
    "12 s",
    "²",
    "٣",
    "nan",
    "inf",
    "(",
    "\x00",
]
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("0.25", 0.25),
        (".5", 0.5),
        ("9" * 400, LONGEST_PAUSE),
        ("604801", LONGEST_PAUSE),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
    ],
)
def test_retry_after(text: str, seconds: float) -> None:
    """Seconds, whole or not, and the three forms of a date are understood.

    The past is 0, and nothing is longer than a week.
    """
    assert retry_after({"Retry-After": text}, NOW) == seconds


@pytest.mark.parametrize("text", WRONG_DATES + WRONG_NUMBERS)
def test_malformed(text: str) -> None:
    """What is no number of seconds and no date is no pause."""
    assert retry_after({"Retry-After": text}, NOW) is None


def test_absent_and_spelled_otherwise() -> None:
    """The name of the header counts in any case of its letters; without it there is no pause."""
    assert retry_after({"Date": "Sun, 01 Mar 2026 12:00:30 GMT"}, NOW) is None
    assert retry_after({"RETRY-AFTER": "3"}, NOW) == retry_after({"retry-after": "3"}, NOW) == 3.0


@given(text=st.text() | st.text('0123456789:,+- .GMTSunMar()"\\', max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text(text: str) -> None:
    """No text of a provider raises anything or closes a quota for longer than a week."""
    seconds = retry_after({"Retry-After": text}, NOW)
    assert seconds is None or 0.0 <= seconds <= LONGEST_PAUSE


@given(
    delay=st.integers(0, int(LONGEST_PAUSE)),
    zone=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_any_date(delay: int, zone: timezone) -> None:
    """A date means the same instant in any zone."""
    text = format_datetime((NOW + timedelta(seconds=delay)).astimezone(zone))
    assert retry_after({"Retry-After": text}, NOW) == delay
