"""When the pool of a worker counts as blocked, and what its heart says of the tasks at work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from warren.heartbeat import Beat
from warren.process import Process
from warren.run_file import now
from warren.supervise.blocked import blocked
from warren.supervise.hearts import Sight
from warren.worker.at_work import AtWork

WAITING = {"default": 3}


def sight(since: float | None, state: str = "ready", **evidence: Any) -> Sight:
    said = {"queues": ["default"], "busy_since": since, "oldest": [{"id": "one", "task": "jobs.run", "since": since}]}
    return Sight(7, Beat("worker-a", Process(7, 1), 1.0, 0.0, state, {**said, **evidence}))


def test_a_pool_that_ends_no_task_while_messages_wait_is_blocked() -> None:
    """The ids of the oldest tasks and what waits are told."""
    found = blocked(sight(now() - 700), WAITING, 600)
    assert found is not None
    assert (found.tasks, found.waiting) == (("one",), {"default": 3})
    assert "12 min" in found.warning
    assert "3 messages wait" in found.warning
    assert "one" in found.warning


@pytest.mark.parametrize(
    ("seen", "queues", "timeout"),
    [
        (sight(now() - 500), WAITING, 600),  # not for long enough
        (sight(None), WAITING, 600),  # one process is free
        (sight(now() - 700), {"default": 0}, 600),  # nothing waits
        (sight(now() - 700), {"other": 3}, 600),  # not for this worker
        (sight(now() - 700, queues=[]), WAITING, 600),  # a quota pauses the queue
        (sight(now() - 700), WAITING, 0),  # never, say the settings
        (sight(now() - 700, state="stopping"), WAITING, 600),
        (sight("long ago"), WAITING, 600),  # type: ignore[arg-type]
        (sight(now() - 700, oldest="nonsense", busy_since=True), {}, 600),
        (Sight(7), WAITING, 600),
    ],
)
def test_any_other_pool_is_not(seen: Sight, queues: dict[str, int], timeout: float) -> None:
    """A pool that moves, waits for nothing, or is not known to do so."""
    assert blocked(seen, queues, timeout) is None


def test_a_heart_names_the_oldest_tasks() -> None:
    """Each task keeps the time at which it was seen first; one that ended is forgotten, and a free child ends `busy_since`."""
    at_work = AtWork()
    one, two = SimpleNamespace(id="1", name="jobs.one"), SimpleNamespace(id="2", name="jobs.two")
    first = at_work.look([one], 2)
    assert first["busy_since"] is None
    both = at_work.look([two, one], 2)
    assert [each["id"] for each in both["oldest"]] == ["1", "2"]
    assert both["oldest"][0] == first["oldest"][0]
    assert both["busy_since"] == both["oldest"][1]["since"]
    again = at_work.look([one, two], 2)
    assert again == both
    after = at_work.look([two], 2)
    assert (after["busy_since"], [each["task"] for each in after["oldest"]]) == (None, ["jobs.two"])
