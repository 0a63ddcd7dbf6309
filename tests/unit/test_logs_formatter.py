"""Any values as one line, without a secret in it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.logs.events import Event
from warren.logs.formatter import render
from warren.logs.reading.seek import LONGEST
from warren.redaction.masker import redact

SECRET = "s3cret"

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.sets(st.integers()),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
    ),
    max_leaves=8,
)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@given(st.dictionaries(st.text(), ANYTHING))
def test_any_values_become_one_line(fields: dict[str, object]) -> None:
    """Whatever is logged comes out as one line that a strict JSON parser reads.

    The line encodes to UTF-8.
    """
    line = render(fields)
    assert len(line.splitlines()) == 1
    assert isinstance(json.loads(line.encode(), parse_constant=refuse), dict)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Event.READY, "ready"),
        (Path("/a/b"), "/a/b"),
        (b"bytes", "b'bytes'"),
        (math.inf, "inf"),
        ("half \ud800", "half \\ud800"),
        ("first\u2028second\nthird", "first\u2028second\nthird"),
        ({(1, 2): 3}, {"(1, 2)": 3}),
        ((1, 2), [1, 2]),
        (Unshowable(), "<Unshowable that cannot be shown: RuntimeError>"),
    ],
)
def test_values_keep_their_meaning(value: object, shown: object) -> None:
    """A value that JSON does not know is shown as the text a person expects."""
    assert json.loads(render({"value": value}))["value"] == shown


def test_a_value_within_itself_ends() -> None:
    """A list that contains itself costs neither the line nor the process."""
    loop: list[object] = [1]
    loop.append(loop)
    assert json.loads(render({"loop": loop, "kept": 1})) == {"loop": [1, "<itself>"], "kept": 1}


def test_deep_nesting_ends() -> None:
    """Nesting deeper than the interpreter allows costs neither the line nor the process."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert json.loads(render({"deep": deep, "kept": 1}))["kept"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "amqp://user:{}@host:5672/vhost",
        "redis://:{}@host",
        "cannot reach 'amqp://user:{}@host//', trying again",
        "amqp://user:{}/half@host",
        "amqp://user:half@{}@host",
        'amqp://user:"{}@host',
        "amqp://a:{}@one;amqp://b:{}@two",
    ],
)
@pytest.mark.parametrize(
    "wrap", [str, lambda text: [text], lambda text: {text: 1}, str.encode, lambda text: {text}]
)
def test_no_password_of_a_url_is_written(text: str, wrap: object) -> None:
    """The password of a URL is masked wherever in a value it stands, however it is written."""
    assert callable(wrap)
    line = render({"value": wrap(text.format(SECRET, SECRET))})
    assert SECRET not in line
    assert "half" not in line
    assert ":***@" in line


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/users/@me",
        "https://host/a",
        "mail a@b about http://host/x",
        "amqp://user@host",
    ],
)
def test_a_url_without_password_stays_readable(text: str) -> None:
    """Ports, paths and addresses are no passwords."""
    assert redact(text) == text


#: What a line may hold, each far too large.
LARGE = {
    "a text": "x" * 10_000_000,
    "words of another script": "\u6f22 " * 3_000_000,
    "characters that have to be escaped": "\x7f\u2028" * 3_000_000,
    "bytes": b"\xff" * 5_000_000,
    "a list": list(range(1_000_000)),
    "lists of lists": [[["x" * 100] * 100] * 100] * 10,
    "an object": {str(number): number for number in range(300_000)},
    "a name within": {"n" * 5_000_000: 1},
    "a number": 10**6_000,
    "many numbers": [10**3_000] * 1_000,
    "an exception": ValueError("y" * 5_000_000),
    "a set": set(range(500_000)),
}


@pytest.mark.parametrize("what", LARGE)
def test_no_line_is_longer_than_a_reader_takes(what: str) -> None:
    """Whatever a field holds, the line is valid, short enough, and keeps its first fields.

    It says that it was cut.
    """
    line = render({"timestamp": "t", "event": "record", "value": LARGE[what], "last": "end"})
    found = json.loads(line, parse_constant=refuse)
    assert len(line.encode()) < LONGEST // 2
    assert (found["timestamp"], found["event"], found["last"]) == ("t", "record", "end")
    if what == "a number":
        assert found["value"] == "<int that cannot be shown: ValueError>"
    else:
        assert found["cut_from"] > 65_536
        assert "left out" in line


def test_neither_names_nor_a_number_of_fields_make_a_line_long() -> None:
    """An author's `extra` may have any names, and as many as he likes."""
    many = {f"{number}{'n' * 100}": "x" * 40 for number in range(100_000)}
    for fields in ({"n" * 5_000_000: 1}, many, dict.fromkeys(map(str, range(900)), 10**3_000)):
        line = render({"timestamp": "t", "event": "record", **fields})
        assert len(line.encode()) < LONGEST // 2
        assert json.loads(line)["timestamp"] == "t"
        assert json.loads(line)["cut_from"] > 65_536
