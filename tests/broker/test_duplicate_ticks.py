"""The message of a tick that comes twice under one id, on each broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import signals
from redis import Redis

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import until
from warren.app.factory import make_app
from warren.beat.daemon import _mark
from warren.broker.queue_depth import depths
from warren.config import load

JOBS = """
import os
import signal
import time
from celery import shared_task

def note(path):
    with open(path, "a") as file:
        file.write("x")
    return len(open(path).read())

@shared_task(name="jobs.note", ignore_result=True)
def quick(path):
    note(path)

@shared_task(name="jobs.slow", ignore_result=True)
def slow(path, gate):
    note(path)
    while not os.path.exists(gate):
        time.sleep(0.05)

@shared_task(name="jobs.lost", ignore_result=True)
def lost(path):
    if note(path) == 1:
        os.kill(os.getpid(), signal.SIGKILL)

@shared_task(name="jobs.again", ignore_result=True, bind=True)
def again(self, path):
    if note(path) == 1:
        self.signature_from_request(self.request).apply_async()

@shared_task(name="jobs.retried", ignore_result=True, bind=True)
def retried(self, path):
    if note(path) == 1:
        raise self.retry(countdown=0)
"""


@pytest.fixture(params=["embedded", "redis", "rabbitmq"])
def suite(scratch: Path, request: pytest.FixtureRequest) -> Suite:
    """A suite of two workers with two children each, on a broker that has nothing."""
    broker = "[broker]\n"
    if request.param == "redis":
        url = str(request.getfixturevalue("redis_url")).replace("/0", "/6")
        Redis.from_url(url).flushdb()
        broker = broker_section(scratch, url)
    elif request.param == "rabbitmq":
        node: RabbitMQNode = request.getfixturevalue("rabbitmq")
        broker = broker_section(scratch, node.add_vhost(scratch.name))
    suite = Suite(
        scratch,
        f"{broker}[worker:a]\nconcurrency = 2\n[worker:b]\nconcurrency = 2\n",
        modules="jobs",
    )
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    with app.connection_for_write() as connection:
        app.conf.task_queues[0](connection.default_channel).declare()
    return suite


@pytest.fixture
def tick(suite: Suite, scratch: Path) -> Iterator[Any]:
    """Send a tick's message, as beat does.

    Its task notes its runs in a file of that name.
    """
    app: Any = make_app(load(suite.etc))
    signals.before_task_publish.connect(_mark)

    def send(identity: str, task: str, *more: object) -> None:
        app.send_task(
            task, [str(scratch / identity), *map(str, more)], task_id=identity, ignore_result=True
        )

    yield send
    signals.before_task_publish.disconnect(_mark)


def empty(suite: Suite) -> bool:
    """Whether no message waits, and none of the embedded broker is with a worker."""
    broker = suite.directory / "state" / "broker"
    held = [*broker.glob("unacked/*/*/*"), *broker.glob("later/*/*")]
    return depths(make_app(load(suite.etc)), ["default"])["default"] == 0 and not held


def runs(scratch: Path, identity: str) -> int:
    """How often it ran."""
    return (
        len((scratch / identity).read_text(encoding="ascii"))
        if (scratch / identity).exists()
        else 0
    )


def test_one_that_has_ended(suite: Suite, scratch: Path, tick: Any) -> None:
    """The tick runs once, also when the second message comes to another worker of the host.

    The other worker may be the successor of this one.
    """
    with suite.running("worker", "a"):
        tick("one", "jobs.note")
        suite.await_event("worker", "task_succeeded", task_id="one")
        tick("one", "jobs.note")
        suite.await_event("worker", "tick_repeated", task_id="one")
    with suite.running("worker", "b"):
        tick("one", "jobs.note")
        tick("other", "jobs.note")
        suite.await_event("worker", "task_succeeded", task_id="other")
        until(
            lambda: len(suite.logged("worker", "tick_repeated", task_id="one")) == 2,
            what="a line about each",
        )
    assert (runs(scratch, "one"), runs(scratch, "other")) == (1, 1)


def test_one_that_is_at_work(suite: Suite, scratch: Path, tick: Any) -> None:
    """The second message waits with the broker until the first has ended, and is dropped.

    Other tasks go on beside it.
    """
    with suite.running("worker", "a"):
        tick("slow", "jobs.slow", scratch / "gate")
        until(lambda: runs(scratch, "slow"), what="a run")
        tick("slow", "jobs.slow", scratch / "gate")
        tick("beside", "jobs.note")
        suite.await_event("worker", "task_succeeded", task_id="beside")
        (scratch / "gate").touch()
        suite.await_event("worker", "tick_repeated", task_id="slow")
        until(lambda: empty(suite), what="no message")
    assert runs(scratch, "slow") == 1


def test_one_whose_worker_ends(suite: Suite, scratch: Path, tick: Any) -> None:
    """A tick whose worker is killed, with its second message away, is not lost."""
    with suite.running("worker", "a") as worker:
        tick("held", "jobs.slow", scratch / "gate")
        until(lambda: runs(scratch, "held"), what="a run")
        tick("held", "jobs.slow", scratch / "gate")
        tick("held-beside", "jobs.note")
        suite.await_event("worker", "task_succeeded", task_id="held-beside")
        worker.kill()
    (scratch / "gate").touch()
    with suite.running("worker", "a"):
        suite.await_event("worker", "task_succeeded", task_id="held")
        until(lambda: empty(suite), what="no message")


def test_one_whose_process_is_lost(suite: Suite, scratch: Path, tick: Any) -> None:
    """It has not ended: it runs again, whichever of its messages is next."""
    with suite.running("worker", "a"):
        tick("lost", "jobs.lost")
        tick("lost", "jobs.lost")
        suite.await_event("worker", "task_succeeded", task_id="lost")
        until(lambda: empty(suite), what="no message")
    assert runs(scratch, "lost") >= 2


@pytest.mark.parametrize("task", ["jobs.again", "jobs.retried"])
def test_what_a_task_sends_under_its_own_id(
    suite: Suite, scratch: Path, tick: Any, task: str
) -> None:
    """A retry, and what a task sends again by itself, is no second message of the tick."""
    with suite.running("worker", "a"):
        tick("own", task)
        until(lambda: runs(scratch, "own") == 2, what="a second run")
        until(lambda: empty(suite), what="no message")
    assert not suite.logged("worker", "tick_repeated")
