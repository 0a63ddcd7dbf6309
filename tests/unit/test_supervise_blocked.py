"""When the pool of a worker counts as blocked, and what its heartbeat says of the tasks at work."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from warren.status.heartbeat import Heartbeat
from warren.status.status_file import now
from warren.supervise.liveness.blocked import blocked
from warren.supervise.liveness.observe import Observation
from warren.system.process import Process
from warren.worker.running_tasks import RunningTasks

WAITING = {"default": 3}


def observation(busy_s: float | None, state: str = "ready", **details: Any) -> Observation:
    """Return the observation of a worker whose processes are busy for so many seconds.

    None stands for a free process.
    """
    since = None if busy_s is None else now() - busy_s
    said = {
        "queues": ["default"],
        "busy_since": since,
        "oldest": [{"id": "one", "task": "jobs.run", "since": since}],
    }
    return Observation(
        7, Heartbeat("worker-a", Process(7, 1), 1.0, 0.0, state, {**said, **details})
    )


def test_a_pool_that_ends_no_task_while_messages_wait_is_blocked() -> None:
    """The ids of the oldest tasks and what waits are told."""
    found = blocked(observation(700), WAITING, 600)
    assert found is not None
    assert (found.tasks, found.waiting) == (("one",), {"default": 3})
    assert "12 min" in found.warning
    assert "3 messages wait" in found.warning
    assert "one" in found.warning


def test_a_short_time_is_told_in_seconds() -> None:
    """A blocked_timeout below a minute is not told as one."""
    found = blocked(observation(35), WAITING, 20)
    assert found is not None
    assert "ended a task for 35 s, while" in found.warning


@pytest.mark.parametrize(
    ("see", "queues", "timeout"),
    [
        (lambda: observation(500), WAITING, 600),  # not for long enough
        (lambda: observation(None), WAITING, 600),  # one process is free
        (lambda: observation(700), {"default": 0}, 600),  # nothing waits
        (lambda: observation(700), {"other": 3}, 600),  # not for this worker
        (lambda: observation(700, queues=[]), WAITING, 600),  # a quota pauses the queue
        (lambda: observation(700), WAITING, 0),  # never, say the settings
        (lambda: observation(700, state="stopping"), WAITING, 600),
        (lambda: observation(700, busy_since="long ago"), WAITING, 600),
        (lambda: observation(700, oldest="nonsense", busy_since=True), {}, 600),
        (lambda: Observation(7), WAITING, 600),
    ],
)
def test_any_other_pool_is_not(
    see: Callable[[], Observation], queues: dict[str, int], timeout: float
) -> None:
    """A pool that moves, waits for nothing, or is not known to do so."""
    assert blocked(see(), queues, timeout) is None


def test_a_heartbeat_names_the_oldest_tasks() -> None:
    """Each task keeps the time at which it was first seen.

    A task that ended is forgotten, and a free child ends `busy_since`.
    """
    at_work = RunningTasks()
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
