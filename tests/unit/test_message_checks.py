"""What a task message must look like: messages that once stopped a worker, and rules."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.utils.time import maybe_iso8601, maybe_make_aware
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kombu.serialization import loads

from warren.broker.nesting_depth import DEEPEST, is_shallow
from warren.broker.timestamps import moment
from warren.worker.header_rules import HEADERS, PROPERTIES
from warren.worker.message_checks import malformed, settle
from warren.worker.message_copy import TICKETS, due_in, is_expired

GOOD = {"task": "jobs.add", "id": "1"}


class Delivered(SimpleNamespace):
    """A message as kombu hands it on."""

    @property
    def payload(self) -> Any:
        """The decoded body."""
        return loads(
            self.body, self.content_type, self.content_encoding, accept={"application/json"}
        )


def message(headers: Any = None, body: Any = None, **fields: Any) -> Delivered:
    """A good message with these headers added, or this body (text as it is) instead."""
    whole = {**GOOD, **headers} if isinstance(headers, dict) else headers or dict(GOOD)
    text = (
        body
        if isinstance(body, str | bytes)
        else json.dumps([[1, 2], {}, {}] if body is None else body)
    )
    kept: dict[str, Any] = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "properties": {},
    }
    return Delivered(headers=whole, body=text, **kept | fields)


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def deep_text(depth: int) -> str:
    """A body whose arguments are nested so deeply, as JSON that no encoder has to make."""
    return f"[{'[' * depth}{']' * depth}, {{}}, {{}}]"


BAD: dict[str, Delivered] = {
    "id is a list": message({"id": ["a"]}),
    "id is too long": message({"id": "x" * 201}),
    "id is too long in bytes": message({"id": "é" * 101}),
    "id has a NUL": message({"id": "a\0b"}),
    "id has a line end": message({"id": "a\nb"}),
    "id has half a character": message({"id": "a\ud800"}),
    "id is empty": message({"id": ""}),
    "task is an object": message({"task": {"a": 1}}),
    "eta of another standard": message({"eta": "2026W4872210"}),
    "expires of another standard": message({"expires": "2026W4872210"}),
    "expires at 24:00": message({"expires": "2030-12-30T24:00:00"}),
    "eta at 24:00": message({"eta": "2030-12-30T24:00:00"}),
    "eta beyond all dates": message({"eta": "9999-12-31T23:59:59-23:59"}),
    "eta in seven years": message({"eta": (datetime.now(UTC) + timedelta(days=2600)).isoformat()}),
    "eta is a number": message({"eta": 5}),
    "expires is a number": message({"expires": 60}),
    "expires is empty": message({"expires": ""}),
    "retries is a word": message({"retries": "many"}),
    "retries is true": message({"retries": True}),
    "retries is below 0": message({"retries": -1}),
    "retries is huge": message({"retries": 10**30}),
    "timelimit is words": message({"timelimit": ["x", "x"]}),
    "timelimit is nested": message({"timelimit": [[1], [1]]}),
    "timelimit has no end": message({"timelimit": [float("inf"), None]}),
    "timelimit is no number": message({"timelimit": [float("nan"), None]}),
    "timelimit is true": message({"timelimit": [True, True]}),
    "group is a list": message({"group": ["a"]}),
    "root_id is a number": message({"root_id": 5}),
    "lang is an object": message({"lang": {}}),
    "origin is a list": message({"origin": []}),
    "argsrepr is a number": message({"argsrepr": 5}),
    "stamps are a number": message({"stamps": 5}),
    "stamped_headers hold a list": message({"stamped_headers": [[1]]}),
    "ignore_result is a word": message({"ignore_result": "x"}),
    "a header hides a method": message({"get": 5}),
    "a header is a callback": message({"errbacks": 5}),
    "a header has no text as its name": message({b"\xff": 5}),
    "losses below 0": message({"warren_crashes": -1000000}),
    "losses are true": message({"warren_crashes": True}),
    "losses are huge": message({"warren_crashes": 10**40}),
    "sent at no time": message({"warren_sent_at": float("nan")}),
    "sent at a huge number": message({"warren_sent_at": 10**400}),
    "header nested 985 deep": message({"x": nested(985)}),
    "header nested 3000 deep": message({"x": nested(3000)}),
    "property nested 985 deep": message(properties={"x": nested(985)}),
    "headers are a list": message(headers=[1]),
    "properties are a list": message(properties=[1]),
    "reply_to is a list": message(properties={"reply_to": ["a"]}),
    "correlation_id is too long": message(properties={"correlation_id": "x" * 300}),
    "priority is a word": message(properties={"priority": "x"}),
    "priority has no end": message(properties={"priority": float("inf")}),
    "delivery_mode is 7": message(properties={"delivery_mode": 7}),
    "pickle": message(body=b"\x80\x04K\x01.", content_type="application/x-python-serialize"),
    "yaml": message(body="[[], {}, {}]", content_type="application/x-yaml"),
    "data, which kombu trusts": message(content_type="application/data"),
    "no content type": message(content_type=None),
    "content type is a list": message(content_type=["application/json"]),
    "an encoding that unpacks": message(content_encoding="zlib"),
    "encoding is a list": message(content_encoding=["utf-8"]),
    "body is not JSON": message(body="{not json"),
    "body is not UTF-8": message(body=b"[[\xff], {}, {}]"),
    "body is null": message(body="null"),
    "body is a text": message(body='"x"'),
    "body is too short": message(body=[1]),
    "body is empty": message(body=""),
    "arguments are a number": message(body=[7, {}, {}]),
    "keyword arguments are a list": message(body=[[], [], {}]),
    "callbacks are a number": message(body=[[], {}, {"callbacks": 5}]),
    "callbacks hold a number": message(body=[[], {}, {"callbacks": [5]}]),
    "chord is a list": message(body=[[], {}, {"chord": []}]),
    "callbacks say that the task is eager": message(body=[[], {}, {"is_eager": True}]),
    "callbacks name slots": message(body=[[], {}, {TICKETS: {"x": [[0, 1]]}}]),
    "body nested 700 deep": message(body=deep_text(700)),
    "body nested 100,000 deep": message(body=deep_text(100_000)),
    "body of a type that cannot be made": message(
        body='[[{"__type__": "decimal", "__value__": "x"}], {}, {}]'
    ),
    "protocol 1": message(
        headers={}, body={"task": "jobs.add", "id": "q", "args": [1, 2], "timelimit": ["x", "x"]}
    ),
}
BAD["protocol 1"].headers = {}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_run_has_a_reason(case: str) -> None:
    """Each of these once ended a worker, cost a slot, or could: it is told what was expected."""
    reason = malformed(BAD[case])
    assert reason.startswith("expected ")
    assert len(reason) < 200


def test_protocol_1_is_told_what_to_send() -> None:
    """The sender learns of the setting that mends it."""
    assert malformed(BAD["protocol 1"]).endswith("send with task_protocol = 2")


@pytest.mark.parametrize("name", [*HEADERS, *PROPERTIES])
@settings(max_examples=20)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x)
    )
)
def test_no_value_of_a_known_field_raises(name: str, value: Any) -> None:
    """Whatever stands in a field, the answer is a reason or none."""
    for each in (message({name: value}), message(properties={name: value})):
        reason = malformed(each)
        assert not reason or reason.startswith("expected ")
        if not reason:
            settle(each.headers)


class _Caught(Exception):
    """Keeps what Celery was about to send."""


def sent(monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    """The headers that Celery itself writes for these options of `apply_async`."""
    app = Celery("x", broker="memory://", set_as_current=False)
    found: list[Any] = []
    monkeypatch.setattr(
        app.amqp, "send_task_message", lambda _producer, _name, made, **_: found.append(made)
    )
    app.send_task("jobs.add", [1, 2], **options)
    headers: dict[str, Any] = found[0].headers
    return headers


NOW = datetime.now(UTC)
TIMES: dict[str, dict[str, Any]] = {
    "countdown": {"countdown": 5},
    "fraction of a second": {"countdown": 0.5, "expires": 2.5},
    "UTC": {"eta": NOW + timedelta(hours=1), "expires": NOW + timedelta(hours=2)},
    "microseconds": {"eta": NOW.replace(microsecond=1)},
    "none": {"eta": NOW.replace(microsecond=0)},
    "naive": {"eta": (NOW + timedelta(hours=1)).replace(tzinfo=None)},
    "a zone": {
        "eta": NOW.astimezone(ZoneInfo("Asia/Kathmandu")),
        "expires": NOW.astimezone(ZoneInfo("America/St_Johns")),
    },
    "an offset": {"eta": NOW.astimezone(timezone(timedelta(hours=-11, minutes=-30)))},
    "a text": {"expires": "2100-01-01T00:00:00Z"},
    "stamps, limits and a reply": {
        "time_limit": 5,
        "soft_time_limit": 2.5,
        "reply_to": "x",
        "priority": 3,
        "retries": 2,
    },
}


@pytest.mark.parametrize("case", TIMES)
def test_what_celery_sends_is_well_formed(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """Every way of `apply_async` to say when passes, and means what Celery means by it."""
    headers = sent(monkeypatch, **TIMES[case])
    read = {
        name: headers[name] and maybe_make_aware(maybe_iso8601(headers[name]))
        for name in ("eta", "expires")
    }
    assert malformed(message(headers)) == ""
    settle(headers)
    assert {name: headers[name] and datetime.fromisoformat(headers[name]) for name in read} == read


def celerys(text: str) -> datetime | None:
    """The moment as Celery reads it; None where it cannot."""
    try:
        read: datetime = maybe_make_aware(maybe_iso8601(text), "UTC")
    except (ValueError, OverflowError, TypeError):
        return None
    return read


_DIGITS = st.sampled_from("0123456789")
_NEAR = st.builds(
    lambda date, sep, time, fraction, zone: f"{date}{sep}{time}{fraction}{zone}",
    st.sampled_from(
        [
            "2030-01-31",
            "2030-02-30",
            "20300131",
            "2030-W05-4",
            "2026W487",
            "2030-031",
            "0001-01-01",
            "9999-12-31",
        ]
    ),
    st.sampled_from(["T", "t", " ", "", "_", "2"]),
    st.sampled_from(
        ["12:00:00", "24:00:00", "23:59:60", "120000", "12:00", "12", "2210", "00:00:00"]
    ),
    st.one_of(
        st.just(""), st.text(_DIGITS, max_size=11).map(lambda text: f".{text}"), st.just(",5")
    ),
    st.sampled_from(
        [
            "",
            "Z",
            "z",
            "+00:00",
            "-00:00",
            "+23:59",
            "-23:59",
            "+24:00",
            "+0100",
            "+01",
            "+01:00:01",
            "+5",
            "-",
        ]
    ),
)


@given(text=st.one_of(_NEAR, st.text(max_size=30), st.datetimes().map(datetime.isoformat)))
@example("2026W4872210")
@example("2030-12-30T24:00:00")
@example("٢٠٣٠-01-01T00:00:00")
def test_what_passes_means_one_moment_to_both_parsers(text: str) -> None:
    """A text that is accepted is read alike by Celery and by the gate.

    This holds before and after it was written again.
    """
    try:
        own = moment(text)
    except ValueError:
        return
    headers = {"eta": text}
    settle(headers)
    assert own == celerys(text) == celerys(headers["eta"]) == datetime.fromisoformat(headers["eta"])


@given(away=st.timedeltas(timedelta(days=-3000), timedelta(days=3000)))
def test_expired_is_one_word_for_gate_and_celery(away: timedelta) -> None:
    """What the gate calls expired Celery does, by the same text."""
    text = (NOW + away).isoformat()
    headers = {"expires": text, "eta": None}
    settle(headers)
    read = celerys(headers["expires"] or "")
    assert read is not None
    assert is_expired(headers) == (datetime.now(UTC) > read)
    assert due_in(headers) == 0


def test_tickets_that_a_message_brings_are_dropped() -> None:
    """Slots are named by the gate alone; also those of a task that no quota governs."""
    headers = {**GOOD, TICKETS: 5}
    settle(headers)
    assert headers == GOOD


def test_the_deepest_body_that_passes_can_be_worked_on() -> None:
    """At the limit pickling, quoting and encoding still have room for their recursion."""
    deepest = nested(DEEPEST - 1)
    assert is_shallow(deepest)
    assert not is_shallow(nested(DEEPEST))
    assert pickle.loads(pickle.dumps(deepest)) == deepest  # noqa: S301  its own
    assert json.loads(json.dumps(deepest)) == deepest
    assert repr(deepest)
    assert malformed(message(body=deep_text(DEEPEST - 1))) == ""
    assert malformed(message(body=deep_text(DEEPEST))) != ""
