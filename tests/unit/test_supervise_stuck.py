"""When a worker counts as stuck."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from warren.status.heartbeat import Heartbeat
from warren.supervise.liveness.observe import Observation
from warren.supervise.liveness.recover import consumed_queues
from warren.supervise.liveness.stuck import Idleness, is_stuck, judge
from warren.system.process import Process

DETAILS = {
    "queues": ["default"],
    "paused": [],
    "running": 1,
    "concurrency": 2,
    "taken": 5,
    "begun": 4,
}
FULL = {"default": 3}


def observation(
    pid: int = 7, state: str = "ready", silence: float = 0.0, **details: Any
) -> Observation:
    return Observation(
        pid,
        Heartbeat("worker-a", Process(pid, 1), 1.0, 0.0, state, {**DETAILS, **details}),
        silence,
    )


BEFORE = Idleness(7, (5, 4), 50.0, 1)


@pytest.mark.parametrize(
    ("seen", "queues", "seconds", "restarts"),
    [
        (observation(), FULL, 51.0, 1),
        (observation(), {"default": 0}, 0.0, 1),  # nothing to take
        (observation(), {}, 0.0, 1),  # nobody has looked
        (observation(), {"other": 3}, 0.0, 1),  # not its own
        (observation(queues=[], paused=["default"]), FULL, 0.0, 1),  # a quota pauses the queue
        (observation(running=2), FULL, 0.0, 1),  # no room
        (observation(state="connecting"), FULL, 0.0, 1),
        (observation(state="stopping"), FULL, 0.0, 1),
        (observation(silence=6.0), FULL, 0.0, 1),  # a matter of its heartbeat
        (observation(taken=6), FULL, 0.0, 0),  # it moves, and what was done about it before is past
        (observation(begun=5), FULL, 0.0, 0),
        (observation(pid=8), FULL, 0.0, 1),  # a new process, of which nothing is known
    ],
)
def test_idleness(seen: Observation, queues: dict[str, int], seconds: float, restarts: int) -> None:
    """Seconds count only while the worker could take and does not."""
    found = judge(BEFORE, seen, queues, 1.0)
    assert found is not None
    assert (found.seconds, found.restarts) == (seconds, restarts)


def test_a_heartbeat_that_does_not_say_is_not_judged() -> None:
    """A worker of another version is left alone."""
    assert judge(None, observation(taken=None), FULL, 1.0) is None
    assert judge(None, observation(begun=None), FULL, 1.0) is None
    assert judge(None, Observation(7), FULL, 1.0) is None


def test_restarts_that_do_not_help_become_rare() -> None:
    """The timeout doubles with each restart.

    Running tasks must not be requeued every minute for nothing.
    """
    assert is_stuck(Idleness(7, (5, 4), 60.0), 60.0)
    assert not is_stuck(Idleness(7, (5, 4), 60.0, 1), 60.0)
    assert is_stuck(Idleness(7, (5, 4), 240.0, 2), 60.0)
    assert is_stuck(Idleness(7, (5, 4), 64 * 60.0, 1000), 60.0)


def test_a_broker_status_counts_while_it_is_fresh(tmp_path: Path) -> None:
    """Queues without a number are left out.

    An old broker status, one from before the boot and a broken one say nothing.
    """
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    goes = {"growth_per_s": 0.0, "empty_in_s": None}
    queues = {"default": {"messages": 3, **goes}, "other": {"messages": None, **goes}}
    broker = {"kind": "redis", "reachable": True, "reason": "", "alarms": []}
    said = {"queues": queues, "broker": broker, "quotas": {}}
    for text, expected in (
        (json.dumps(said | {"at": now}), {"default": 3}),
        (json.dumps(said | {"at": now - 16}), {}),
        (json.dumps(said | {"at": now + 1000}), {}),
        (json.dumps(said | {"at": now, "queues": [1]}), {}),
        (json.dumps(said | {"at": "now"}), {}),
        ("{", {}),
    ):
        (tmp_path / "broker.json").write_text(text)
        assert consumed_queues(tmp_path) == expected, text
    (tmp_path / "broker.json").unlink()
    assert consumed_queues(tmp_path) == {}
