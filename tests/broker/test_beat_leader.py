"""Beat on several hosts that share one broker: one sends."""

from __future__ import annotations

import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.ticks import balance, lost, taken
from support.wait import end_of, until
from warren.app.factory import plain_app
from warren.beat.ticks import GRACE
from warren.broker.queue_depth import depths
from warren.broker.queue_names import beat_names
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.tick")
def tick():
    pass
"""

EVERY = 4.0
SCHEDULE = f"[schedule:s]\ntask = jobs.tick\nevery = {EVERY:g}s\n"
#: The same entry in a project's own app.
OWN = f"""
from celery import Celery

app = Celery("own")
app.conf.beat_schedule = {{"s": {{"task": "jobs.tick", "schedule": {EVERY:g}}}}}

@app.task(name="jobs.tick")
def tick():
    pass
"""


def hosts(scratch: Path, url: str, count: int, own: bool = False) -> list[Suite]:
    """Configurations of hosts that share the broker and nothing else.

    own: the schedule is that of a project's app.
    """
    found = []
    for number in range(count):
        directory = scratch / f"host{number}"
        directory.mkdir()
        suite = Suite(directory, broker_section(directory, url) + SCHEDULE, modules="jobs")
        suite.module("jobs", OWN if own else JOBS)
        if own:
            suite.head = suite.head.replace("modules = jobs", "celery = jobs:app")
            suite.write(broker_section(directory, url))
        found.append(suite)
    return found


def sent(suites: list[Suite]) -> list[float]:
    """Every tick that any of the hosts sent."""
    return sorted(line["tick"] for suite in suites for line in suite.logged("beat", "tick_sent"))


def leading(suites: list[Suite]) -> list[Suite]:
    """The hosts whose beat says that it leads."""
    return [
        suite
        for suite in suites
        if ((suite.heartbeat("beat") or {}).get("details") or {}).get("leading")
    ]


def waiting(suite: Suite) -> int:
    """Messages in the queue of the ticks."""
    return depths(plain_app(load(suite.etc)), ["default"])["default"] or 0


@pytest.fixture(params=["rabbitmq", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a broker that hosts can share."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    node: RabbitMQNode = request.getfixturevalue("rabbitmq")
    return node.url


def empty(suite: Suite) -> None:
    """Leaves nothing of an earlier test on the broker."""
    settings = load(suite.etc)
    app = plain_app(settings)
    with app.connection_for_write() as connection:
        app.conf.task_queues[0](connection.default_channel).declare()
        app.control.purge(connection)
        connection.default_channel.queue_delete("warren.beat.ticks")
    if settings.broker.kind == "redis":
        Redis.from_url(app.conf.broker_url).delete(*beat_names(settings.app.name))


@pytest.mark.parametrize("own", [False, True], ids=["section", "own-app"])
def test_a_stopped_leader_hands_over(scratch: Path, url: str, own: bool) -> None:
    """Of two beats one sends, and makes room for the other when it is asked to stop.

    No tick is lost or sent twice.
    """
    suites = hosts(scratch, url, 2, own)
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
    """After `kill -9` of each leader in turn, on RabbitMQ, another takes over.

    No tick is lost or doubled.
    """
    suites = hosts(scratch, rabbitmq.url, 2)
    empty(suites[0])
    with ExitStack() as stack:
        beats: dict[int, Any] = {
            id(suite): stack.enter_context(suite.running("beat")) for suite in suites
        }
        for _ in range(2):
            seen = len(sent(suites))
            until(
                lambda seen=seen: len(sent(suites)) > seen and len(leading(suites)) == 1,  # type: ignore[misc]
                what="a tick",
            )
            (leader,) = leading(suites)
            beats[id(leader)].kill()
            beats[id(leader)].wait()
            (leader.directory / "run" / "heartbeats" / "beat.json").unlink()
            beats[id(leader)] = stack.enter_context(leader.running("beat"))
        seen = len(sent(suites))
        until(lambda: len(sent(suites)) > seen, what="a tick after the last kill")
    consecutive(suites)


def test_more_ticks_than_a_step_can_send(scratch: Path, url: str) -> None:
    """Each tick that comes due meanwhile is sent once or logged as missed.

    Other ticks are being sent then, or a beat is stopped for a while.
    """
    (suite,) = hosts(scratch, url, 1)
    empty(suite)
    entries = "".join(
        f"[schedule:many{number}]\ntask = jobs.tick\nevery = 0.1s\n" for number in range(20)
    )
    suite.write(broker_section(suite.directory, url) + entries)
    with suite.running("beat") as beat:
        until(lambda: len(suite.logged("beat", "tick_sent")) > 200, what="ticks")
        beat.send_signal(signal.SIGSTOP)
        time.sleep(GRACE + 1)  # load: so long that ticks are missed
        beat.send_signal(signal.SIGCONT)
        suite.await_event("beat", "tick_missed")
        seen = len(sent([suite]))
        until(lambda: len(sent([suite])) > seen + 200, what="ticks after the stop")
        beat.terminate()
        end_of(beat)
    found = balance(suite.log("beat"), 0.1)
    assert (found.untold, found.twice) == (0, 0)
    # Stopped so long that RabbitMQ has cut it off, it sends what had no answer again, under the
    # same ids.
    assert len(set(taken(plain_app(load(suite.etc))))) == found.sent
    assert found.told >= 20


def test_an_entry_that_closes_the_channel_costs_no_other_one(
    scratch: Path, rabbitmq: RabbitMQNode
) -> None:
    """A task whose exchange does not exist is left out and logged at each tick.

    Tasks before and behind it in a step are sent.
    """
    (suite,) = hosts(scratch, rabbitmq.url, 1)
    empty(suite)
    nowhere = (
        "\n@shared_task(name='jobs.nowhere', exchange='there-is-none')\ndef nowhere():\n    pass\n"
    )
    suite.module("jobs", JOBS + nowhere)
    entries = "".join(
        f"[schedule:each{number}]\ntask = jobs.{'nowhere' if number == 3 else 'tick'}\nevery = 1s\n"
        for number in range(8)
    )
    suite.write(broker_section(suite.directory, rabbitmq.url) + entries)
    with suite.running("beat") as beat:
        until(
            lambda: len(suite.logged("beat", "tick_failed")) > 5, what="ticks that cannot be sent"
        )
        beat.terminate()
        end_of(beat)
    assert {line["entry"] for line in suite.logged("beat", "tick_failed")} == {"each3"}
    found = balance([line for line in suite.log("beat") if line.get("entry") != "each3"], 1.0)
    assert (found.told, found.untold, found.twice) == (0, 0, 0)
    # What had no answer when the channel was closed was sent again, under the same ids.
    assert len(set(taken(plain_app(load(suite.etc))))) == found.sent


def consecutive(suites: list[Suite]) -> None:
    """Check that the ticks follow each other, each once, and that the queue has them.

    What is missing was logged with so many words.
    """
    ticks = sent(suites)
    assert waiting(suites[0]) == len(ticks) == len(set(ticks))
    told = sum(line["left_out"] for suite in suites for line in suite.logged("beat", "tick_missed"))
    assert len(lost(Counter(ticks), EVERY)) == told


def test_beat_asks_for_no_results(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """Beat asks for no results: no client would read them.

    While the broker is away Celery would ask for their queue without an end.
    """
    (suite,) = hosts(scratch, rabbitmq.url, 1)
    empty(suite)
    before = set(rabbitmq.ctl("list_queues", "name").split())
    with suite.running("beat"):
        suite.await_event("beat", "tick_sent")
        asked = set(rabbitmq.ctl("list_queues", "name").split()) - before
    assert asked == {"warren.beat.leader", "warren.beat.ticks"}
