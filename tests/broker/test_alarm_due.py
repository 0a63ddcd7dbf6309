"""What comes due under an alarm: tasks with a countdown, and tasks that no worker knows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from celery.exceptions import NotRegistered

from support.alarm import alarm
from support.calls import calls, worst
from support.sample import SAMPLE
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

LIMIT, WINDOW = 10, 2.0
INI = """
queue_type = {kind}
unknown_task_timeout = 0
[queue:calls]
tasks = jobs.call
[queue:other]
tasks = jobs.*
[worker:a]
queues = calls, other
[quota:provider]
limit = 10/2s
tasks = jobs.call
"""


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_what_comes_due_is_run_or_rejected(
    scratch: Path, rabbitmq: RabbitMQNode, kind: str
) -> None:
    """Tasks with a countdown run, under a quota as well.

    Unknown tasks are rejected, and clients that wait are told later.
    """
    suite, plain, called = make(scratch, rabbitmq, kind), scratch / "plain", scratch / "called"
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        began = time.monotonic()
        with alarm(rabbitmq):
            pass
        # the alarm must be raised before the tasks are due
        due = 10 + 3 * (time.monotonic() - began)
        for _ in range(20):
            app.send_task("jobs.note", [str(plain)], countdown=due, ignore_result=True)
        unknown = [app.send_task("jobs.nobody", countdown=due) for _ in range(20)]
        for _ in range(3 * LIMIT):
            app.send_task("jobs.call", [str(called)], countdown=due, ignore_result=True)
        with alarm(rabbitmq):
            assert not calls(plain), "the alarm came too late"
            until(lambda: len(calls(plain)) == 20, what="the plain tasks")
            until(
                lambda: len(suite.logged("worker", "message_rejected", task="jobs.nobody")) == 20,
                what="the unknown ones",
            )
            # But for one that may be with the broker, as a copy.
            until(lambda: len(calls(called)) >= 3 * LIMIT - 1, what="the calls")
            now = time.clock_gettime(time.CLOCK_BOOTTIME)
            until(
                lambda: (suite.heartbeat("worker-a") or {"at": 0})["at"] > now,
                what="a heartbeat that continues",
            )
        for result in unknown:
            with pytest.raises(NotRegistered):
                result_of(result)
        until(lambda: len(calls(called)) >= 3 * LIMIT, what="every call")
    assert len(calls(called)) == 3 * LIMIT
    assert len(calls(plain)) == 20
    assert worst(calls(called), WINDOW) <= LIMIT
    assert not suite.logged("worker", "broker_lost")


def make(scratch: Path, rabbitmq: RabbitMQNode, kind: str) -> Suite:
    """Run a worker of one queue under a quota and another one, of this kind.

    Of another kind there may be no queue of those names.
    """
    made = Suite(
        scratch,
        broker_section(scratch, rabbitmq.add_vhost(scratch.name)) + INI.format(kind=kind),
        modules="jobs",
    )
    made.module("jobs", SAMPLE)
    return made
