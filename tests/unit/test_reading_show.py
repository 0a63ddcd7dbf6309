"""Log lines as a person reads them."""

from __future__ import annotations

from typing import Any

import click
import pytest

from warren.reading.show import shown

LINE = {
    "timestamp": "2026-11-21T10:28:26.123456Z",
    "level": "info",
    "event": "task_succeeded",
    "daemon": "worker",
    "program": "worker-crawl",
    "host": "alpha",
    "pid": 7,
}
TASK = {"task_id": "6f1c2a9e-1111-2222-3333-444444444444", "root_id": "6f1c2a9e-1111-2222-3333-444444444444", "task": "shop.add"}


def plain(**fields: Any) -> str:
    return click.unstyle(shown(LINE | fields))


def test_a_line_of_a_task() -> None:
    """Time, level, program and event stand first, then the other fields; the id is short, and said once."""
    assert plain(**TASK, ran_s=0.5) == (
        "2026-11-21 10:28:26.123 info     worker-crawl task_succeeded task_id=6f1c2a9e task=shop.add ran_s=0.5"
    )


def test_the_first_task_is_named_where_it_is_another() -> None:
    """A task that another one started says which."""
    assert "task_id=6f1c2a9e root_id=99999999 " in plain(**TASK | {"root_id": "99999999-0"})


def test_a_line_of_supervisord_names_both() -> None:
    """supervisord speaks about programs."""
    said = plain(daemon="supervisord", program="beat", event="supervisor_record", message="spawned: 'beat' with pid 1")
    assert " supervisord: beat supervisor_record spawned: 'beat' with pid 1" in said


def test_a_traceback_stands_below() -> None:
    """Each of its lines is a line."""
    assert plain(exception="Traceback:\n  bad").split("\n")[1:] == ["    Traceback:", "      bad"]


def test_the_host_is_named_where_there_are_several() -> None:
    """Merged logs of a fleet say who speaks."""
    assert " alpha worker-crawl " in click.unstyle(shown(LINE, with_host=True))


@pytest.mark.parametrize("field", ["message", "exception", "event", "program", "level", "timestamp", "strange\x1b[2J"])
def test_nothing_in_a_line_can_steer_the_terminal(field: str) -> None:
    """What a task's author or a provider put into a message stays text."""
    said = plain(**{field: "a\x1b]0;title\x07b\r\x9b2Jc"})
    assert said.replace("\n", "").isprintable()
