"""Log lines as a person reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
import pytest

from warren.logs.reading.render_line import shown

LINE = {
    "timestamp": "2026-11-21T10:28:26.123456Z",
    "level": "info",
    "event": "task_succeeded",
    "daemon": "worker",
    "program": "worker-crawl",
    "host": "alpha",
    "pid": 7,
}
TASK = {
    "task_id": "6f1c2a9e-1111-2222-3333-444444444444",
    "root_id": "6f1c2a9e-1111-2222-3333-444444444444",
    "task": "shop.add",
}


@pytest.fixture(autouse=True)
def a_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "XST-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def plain(**fields: Any) -> str:
    return click.unstyle(shown(LINE | fields))


def test_a_line_of_a_task() -> None:
    """Time, level, program and event stand first, then the other fields.

    The id is short, and stands there once.
    """
    assert plain(**TASK, ran_s=0.5) == (
        "11-21 11:28:26 info     worker-crawl task_succeeded task_id=6f1c2a9e task=shop.add "
        "ran_s=0.5"
    )


def test_the_first_task_is_named_where_it_is_another() -> None:
    """A task that another one started says which."""
    assert "task_id=6f1c2a9e root_id=99999999 " in plain(**TASK | {"root_id": "99999999-0"})


def test_a_line_of_supervisord_names_both() -> None:
    """supervisord speaks about programs."""
    said = plain(
        daemon="supervisord",
        program="beat",
        event="supervisor_record",
        message="spawned: 'beat' with pid 1",
    )
    assert " supervisord: beat spawned: 'beat' with pid 1" in said


def test_a_traceback_stands_below() -> None:
    """Each of its lines is a line."""
    assert plain(exception="Traceback:\n  bad").split("\n")[1:] == ["    Traceback:", "      bad"]


def test_the_host_is_named_where_there_are_several() -> None:
    """Merged logs of a fleet say who speaks."""
    assert " alpha worker-crawl " in click.unstyle(shown(LINE, with_host=True))


@pytest.mark.parametrize(
    "field", ["message", "exception", "event", "program", "level", "timestamp", "strange\x1b[2J"]
)
def test_nothing_in_a_line_can_steer_the_terminal(field: str) -> None:
    """What a task's author or a provider put into a message stays text."""
    said = plain(**{field: "a\x1b]0;title\x07b\r\x9b2Jc"})
    assert said.replace("\n", "").isprintable()


def test_what_somebody_says_stands_alone() -> None:
    """A message of a task's author does not begin with a word that says so."""
    assert (
        plain(event="record", message="fetched 7 pages")
        == "11-21 11:28:26 info     worker-crawl fetched 7 pages"
    )
    assert "task_failed with reasons" in plain(event="task_failed", message="with reasons")


@pytest.mark.parametrize("width", [20, 40, 80])
def test_no_word_is_broken_at_the_edge(width: int) -> None:
    """A line that is longer than the terminal continues below, and has the same words."""
    fields = (
        LINE
        | TASK
        | {
            "message": (
                "some words of a task, and more of them, until the line is longer than any "
                "terminal here"
            )
        }
    )
    whole, lines = (
        click.unstyle(shown(fields)),
        click.unstyle(shown(fields, width=width)).split("\n"),
    )
    assert all(len(line) <= width or " " not in line.strip() for line in lines)
    assert " ".join(lines).split() == whole.split()


def test_a_value_that_nobody_can_write() -> None:
    """Nesting that Python could read and cannot write again costs the value, and not the line."""
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert "x=(nested too deeply)" in plain(x=nested)
