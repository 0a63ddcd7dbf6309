"""What became of a task, in words."""

from __future__ import annotations

from typing import Any

import click
import pytest

from warren.logs.events import Event
from warren.logs.reading.task_story import sentences

LINE = {
    "timestamp": "2026-11-30T12:00:10.000000Z",
    "level": "info",
    "daemon": "worker",
    "program": "worker-a",
    "host": "alpha",
    "pid": 47,
    "task_id": "6f1c2a9e-0000",
    "root_id": "0b9d3a11-0000",
    "task": "shop.fetch",
    "queue": "crawl",
    "attempt": 1,
}

STORIES: list[tuple[Event, dict[str, Any], list[str]]] = [
    (Event.TICK_SENT, {"entry": "nightly"}, ["sent by beat, for its entry nightly"]),
    (
        Event.TASK_STARTED,
        {"waited_s": 10.0, "parent_id": "0b9d3a11-0000"},
        ["sent by task 0b9d3a11", "attempt 1 began from crawl, waited 10 s, process 47"],
    ),
    (
        Event.TASK_STARTED,
        {"waited_s": 1, "attempt": 2},
        ["attempt 2 began from crawl, waited 1 s, process 47"],
    ),
    (Event.TASK_STARTED, {"waited_s": None}, ["attempt 1 began from crawl, process 47"]),
    (Event.TASK_POSTPONED, {"due_in_s": 300.0}, ["waits in the broker, due in 300 s"]),
    (
        Event.TASK_RETRIED,
        {"ran_s": 0.5, "again_in_s": 30, "reason": "x"},
        ["attempt 1 is over after 0.5 s, again in 30 s: x"],
    ),
    (Event.TASK_RETRIED, {"again_at": "2026-12-01"}, ["attempt 1 is over, again at 2026-12-01"]),
    (
        Event.TASK_REQUEUED,
        {"crashes": 2, "reason": "x"},
        ["went back to its queue, process lost for the 2nd time: x"],
    ),
    (Event.TASK_REQUEUED, {"again_in_s": 0.1}, ["went back to its queue, again in 0.1 s"]),
    (Event.TASK_UNKNOWN, {}, ["no module of this worker has the task: back to its queue"]),
    (Event.TASK_SUCCEEDED, {"ran_s": 1.25}, ["succeeded after 1.25 s"]),
    (
        Event.TASK_FAILED,
        {"reason": "ValueError()", "exception": "Traceback\n  line"},
        ["failed: ValueError()\n    Traceback\n      line"],
    ),
    (Event.TASK_IGNORED, {"reason": "Ignore()"}, ["has no result of its own: Ignore()"]),
    (Event.TASK_REVOKED, {"reason": "expired"}, ["will not run, or was ended: expired"]),
    (Event.MESSAGE_REJECTED, {"reason": "x", "task": None}, ["its message was rejected: x"]),
]


@pytest.mark.parametrize(("event", "fields", "told"), STORIES)
def test_each_line_of_a_task_is_a_sentence(
    event: Event, fields: dict[str, Any], told: list[str]
) -> None:
    """It says when, where and of which task; a start also says who sent it, and when that was."""
    found = [click.unstyle(text) for text in sentences({**LINE, "event": str(event), **fields})]
    name = "task" if event == Event.MESSAGE_REJECTED else "shop.fetch"
    assert [text.partition("alpha worker-a ")[2] for text in found] == [
        f"{name} 6f1c2a9e {each}" for each in told
    ]
    if len(found) == 2:
        assert [text[9:14] for text in found] == ["00:00", "00:10"] or found[0][:14] != found[1][
            :14
        ]


HUGE = 10**400
FOUL = [
    {},
    {"waited_s": "x", "attempt": 1},
    {"waited_s": 1e300, "attempt": 1},
    {"timestamp": 5},
    {"crashes": [1]},
    {"crashes": {}},
]
FOUL += [
    {name: HUGE, "attempt": 1}
    for name in ("waited_s", "ran_s", "again_in_s", "due_in_s", "crashes")
]


@pytest.mark.parametrize("foul", FOUL)
def test_a_line_that_lacks_what_belongs_there_is_told_all_the_same(foul: dict[str, Any]) -> None:
    """Any task may have written it, and nothing of it steers the terminal."""
    for event in (*(each for each, _, _ in STORIES), "record"):
        for text in sentences(
            {"event": str(event), "task_id": "\x1b[2J", "reason": "\x1b]0;x\x07", **foul}
        ):
            assert "\x1b" not in click.unstyle(text)
            assert "\x07" not in text
