"""Quantities and words as people write them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.config import units, values
from warren.config.cron_line import cron
from warren.config.schedule_options import ScheduleSettings
from warren.config.schema import AppSettings
from warren.config.units import Rate, Unexpected

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (units.duration, "30s", 30.0),
    (units.duration, "5m", 300.0),
    (units.duration, "2h", 7200.0),
    (units.duration, "1d", 86400.0),
    (units.duration, "500ms", 0.5),
    (units.duration, "50ms", 0.05),
    (units.duration, "1.5 h", 5400.0),
    (units.duration, "0", 0.0),
    (units.rate, "1000/h", Rate(1000, 3600.0)),
    (units.rate, "60/10s", Rate(60, 10.0)),
    (units.rate, "5/m", Rate(5, 60.0)),
    (units.rate, "150 / 2h", Rate(150, 7200.0)),
    (units.rate, "10/d", Rate(10, 86400.0)),
    (units.size, "200MB", 200_000_000),
    (units.size, "200 mib", 200 * 1024**2),
    (units.size, "0", 0),
    (units.boolean, "Yes", True),
    (units.boolean, "off", False),
    (units.whole, "42", 42),
    (units.items, "a, b,\nc,", ("a", "b", "c")),
    (units.items, "", ()),
    (units.json_value, '{"a": [1, null]}', {"a": [1, None]}),
    (values.name, "crawl-2.fast_lane", "crawl-2.fast_lane"),
    (values.modules, "shop.tasks, mail", ("shop.tasks", "mail")),
    (values.patterns, "shop.*, mail.send", ("shop.*", "mail.send")),
    (values.zone, "Europe/Berlin", "Europe/Berlin"),
    (cron, "0 3 * * mon-fri", "0 3 * * mon-fri"),
    (cron, "0  3 * * 5-7", "0 3 * * 5-7"),
    (cron, "@hourly", "0 * * * *"),
    (cron, " @Midnight ", "0 0 * * *"),
    (
        cron,
        "55-5/5,30 22-2 30-2 Nov-feb fri-Sun",
        "55,0,5,30 22,23,0,1,2 30,31,1,2 11,12,1,2 5,6,0",
    ),
    (cron, "0 0 * * 7-2", "0 0 * * 0,1,2"),
]

BAD: list[tuple[Callable[[str], Any], str, str]] = [
    (
        units.duration,
        "30",
        "expected a duration such as 30s, 5m or 2h (units ms, s, m, h, d), found '30'",
    ),
    (units.duration, "", "found nothing"),
    (units.duration, "-1s", "found '-1s'"),
    (units.duration, "9" * 400 + "d", "found '999"),
    (units.duration, "999999d", "expected a duration from 0 to 366d, found '999999d'"),
    (units.duration, "٣s", "found '٣s'"),
    (
        units.rate,
        "1000/fortnight",
        "expected a rate such as 1000/h (units s, m, h, d), found '1000/fortnight'",
    ),
    (units.rate, "1000", "found '1000'"),
    (units.rate, "0/h", "expected a rate of 1 to 10000000 calls, found '0/h'"),
    (units.rate, "5/0s", "expected a rate over a window from 1s to 366d, found '5/0s'"),
    (units.rate, "5/999999999d", "expected a rate over a window"),
    (
        units.size,
        "200",
        "expected a size such as 200MB (units B, kB, MB, GB, KiB, MiB, GiB), found '200'",
    ),
    (units.size, "2XB", "found '2XB'"),
    (units.boolean, "maybe", "expected true or false, found 'maybe'"),
    (units.whole, "1.5", "expected a whole number from 0 to 1000000000, found '1.5'"),
    (units.whole, "9" * 5000, "expected a whole number"),
    (units.items, "a, b, a", "expected each entry of the list once, found 'a' 2 times"),
    (units.json_value, "{", "expected JSON, found an error at character 2"),
    (units.json_value, "[" * 100_000, "nested too deeply"),
    (units.json_value, "NaN", "a value that JSON does not have"),
    (units.json_value, "9" * 5000, "a value that JSON does not have"),
    (values.name, "../up", "expected a name"),
    (values.name, "x" * 65, "expected a name"),
    (
        values.modules,
        "shop-tasks",
        "expected a list of modules such as shop.tasks, shop.mail, found 'shop-tasks'",
    ),
    (values.patterns, "a b", "expected a list of task names"),
    (values.task, "", "expected the name of a task"),
    (values.routing_key, "k" * 256, "at most 255 bytes"),
    (values.path, "var/lib", "expected an absolute path such as /var/lib/warren, found 'var/lib'"),
    (values.zone, "Europe/Berln", "found 'Europe/Berln', nearest known Europe/Berlin"),
    (values.zone, "../../etc/passwd", "expected a time zone"),
    (cron, "1 2 3", "expected a cron expression such as 0 3 * * mon-fri"),
    (cron, "99 * * * *", "Bad minute"),
    (cron, "70-5 * * * *", "Bad minute"),
    (cron, "0 22-4/0 * * *", "Bad hour"),
    (cron, "0 0 0-31 * *", "Bad day-of-month"),
    (cron, "0 0 * sat-sun *", "Bad month"),
    (
        cron,
        "@reboot",
        (
            "or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, found "
            "'@reboot'"
        ),
    ),
    (cron, "0 0 30 2 *", "found '0 0 30 2 *'"),
    (cron, "0/" + "9" * 5000 + " * * * *", "expected a cron expression"),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_good_texts(parse: Callable[[str], Any], text: str, value: object) -> None:
    """Each way of writing a value that the documentation names is read as that value."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"), BAD, ids=lambda each: getattr(each, "__name__", str(each))[:40]
)
def test_bad_texts(parse: Callable[[str], Any], text: str, message: str) -> None:
    """A text that is no such value is refused with what was expected and found."""
    with pytest.raises(Unexpected) as caught:
        parse(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_json_of_another_shape() -> None:
    """Arguments that are JSON but no list are refused by what they are, without being quoted."""
    with pytest.raises(
        Unexpected, match=r"expected a JSON list such as .*, found a JSON object"
    ) as caught:
        units.json_value('{"password": "hush"}', list)
    assert "hush" not in str(caught.value)


@given(st.integers(0, 366 * 86400 * 1000))
def test_duration_round_trip(millis: int) -> None:
    """What `duration_text` writes is read as exactly the same seconds."""
    assert units.duration(units.duration_text(millis / 1000)) == millis / 1000


@given(st.integers(1, units.MOST_CALLS), st.integers(1, 366 * 86400))
def test_rate_round_trip(calls: int, seconds: int) -> None:
    """What a rate prints as is read as exactly the same rate."""
    assert units.rate(str(Rate(calls, float(seconds)))) == Rate(calls, float(seconds))


@given(st.integers(0, 10**15))
def test_size_round_trip(count: int) -> None:
    """What `size_text` writes is read as exactly the same bytes."""
    assert units.size(units.size_text(count)) == count


@pytest.mark.parametrize(
    ("rate", "text"),
    [(Rate(1000, 3600), "1000/h"), (Rate(60, 10), "60/10s"), (Rate(150, 7200), "150/2h")],
)
def test_rate_prints_as_written(rate: Rate, text: str) -> None:
    """A rate prints in the way in which an operator writes it."""
    assert str(rate) == text


@given(st.text())
def test_parsers_raise_nothing_else(text: str) -> None:
    """No text makes a parser raise anything but `Unexpected`, or return an infinite number."""
    for parse in {each for each, *_ in GOOD + BAD}:
        try:
            value = parse(text)
        except Unexpected:
            continue
        assert not isinstance(value, float) or math.isfinite(value)


def test_values_pass_as_they_are() -> None:
    """Settings made in code take values as well as texts."""
    assert ScheduleSettings(task="t", every=30.0) == ScheduleSettings.model_validate(
        {"task": "t", "every": "30s"}
    )
    assert AppSettings(timezone="UTC", modules=("a",)).modules == ("a",)
