"""Beat on several hosts that share one broker: one sends."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.ticks import lost, silences
from support.wait import until
from warren.app import make_app
from warren.broker.depth import depths
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.tick")
def tick():
    pass
"""

EVERY = 4.0
SCHEDULE = f"[schedule:s]\ntask = jobs.tick\nevery = {EVERY:g}s\n"


def hosts(scratch: Path, url: str, count: int) -> list[Suite]:
    """Configurations of hosts that share the broker and nothing else."""
    found = []
    for number in range(count):
        folder = scratch / f"host{number}"
        folder.mkdir()
        suite = Suite(folder, broker_section(folder, url) + SCHEDULE, modules="jobs")
        suite.module("jobs", JOBS)
        found.append(suite)
    return found


def sent(suites: list[Suite]) -> list[float]:
    """Every tick that any of the hosts sent."""
    return sorted(line["tick"] for suite in suites for line in suite.logged("beat", "tick_sent"))


def leading(suites: list[Suite]) -> list[Suite]:
    """The hosts whose beat says that it leads."""
    return [suite for suite in suites if ((suite.heart("beat") or {}).get("evidence") or {}).get("leading")]


def waiting(suite: Suite) -> int:
    """Messages in the queue of the ticks."""
    return depths(make_app(load(suite.etc)), ["default"])["default"] or 0


@pytest.fixture(params=["rabbitmq", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a broker that hosts can share."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    node: RabbitMQNode = request.getfixturevalue("rabbitmq")
    return node.url


def empty(suite: Suite) -> None:
    """Leaves nothing of an earlier test on the broker."""
    app = make_app(load(suite.etc))
    with app.connection_for_write() as connection:
        app.conf.task_queues[0](connection.default_channel).declare()
        app.control.purge(connection)
        connection.default_channel.queue_delete("warren.beat.ticks")


def test_a_stopped_leader_hands_over(scratch: Path, url: str) -> None:
    """Of two beats one sends; asked to stop, it makes room for the other, and no tick is lost or sent twice."""
    suites = hosts(scratch, url, 2)
    empty(suites[0])
    with ExitStack() as stack:
        beats = {id(suite): stack.enter_context(suite.running("beat")) for suite in suites}
        until(lambda: len(sent(suites)) >= 1, what="a first tick")
        (leader,) = leading(suites)
        beats[id(leader)].send_signal(signal.SIGTERM)
        (other,) = [suite for suite in suites if suite is not leader]
        other.await_event("beat", "leader_taken")
        seen = len(sent(suites))
        until(lambda: len(sent(suites)) >= seen + 1, what="a tick of the second leader")
    consecutive(suites)


def test_a_killed_leader_is_replaced(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """`kill -9` of each leader in turn, on RabbitMQ: another takes over, and no tick is lost or doubled."""
    suites = hosts(scratch, rabbitmq.url, 2)
    empty(suites[0])
    with ExitStack() as stack:
        beats: dict[int, Any] = {id(suite): stack.enter_context(suite.running("beat")) for suite in suites}
        for _ in range(2):
            seen = len(sent(suites))
            until(lambda seen=seen: len(sent(suites)) > seen and len(leading(suites)) == 1, what="a tick")  # type: ignore[misc]
            (leader,) = leading(suites)
            beats[id(leader)].kill()
            beats[id(leader)].wait()
            (leader.folder / "run" / "heart" / "beat.json").unlink()
            beats[id(leader)] = stack.enter_context(leader.running("beat"))
        seen = len(sent(suites))
        until(lambda: len(sent(suites)) > seen, what="a tick after the last kill")
    consecutive(suites)


def consecutive(suites: list[Suite]) -> None:
    """The ticks follow each other without a gap, each once, and so many tasks are in the queue.

    Where nobody led for longer than the time between two, the newest that had come due is there.
    """
    ticks = sent(suites)
    assert waiting(suites[0]) == len(ticks) == len(set(ticks))
    changes = silences(line for suite in suites for line in suite.log("beat"))
    assert lost(Counter(ticks), EVERY, changes) == []
    assert all(change.first > change.taken - EVERY for change in changes)


def test_beat_asks_for_no_results(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """Nobody would read them; and while the broker is away Celery would ask for their queue without an end."""
    (suite,) = hosts(scratch, rabbitmq.url, 1)
    empty(suite)
    before = set(rabbitmq.ctl("list_queues", "name").split())
    with suite.running("beat"):
        suite.await_event("beat", "tick_sent")
        asked = set(rabbitmq.ctl("list_queues", "name").split()) - before
    assert asked == {"warren.beat.leader", "warren.beat.ticks"}
