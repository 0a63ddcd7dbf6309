"""A quorum queue with a delivery limit.

RabbitMQ 4 has one of 20; here a policy sets a lower one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import end_of, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
import os, time
from celery import shared_task

@shared_task(name="jobs.wait", ignore_result=True)
def wait(directory, number):
    with open(f"{directory}/begun", "a") as file:
        file.write(f"{number}\\n")
    while not os.path.exists(f"{directory}/go"):
        time.sleep(0.05)
    with open(f"{directory}/done", "a") as file:
        file.write(f"{number}\\n")
"""
#: One at work, the others fetched ahead.
TASKS = 3
LIMIT = 3


@pytest.fixture
def suite(rabbitmq: RabbitMQNode, scratch: Path) -> Iterator[Suite]:
    """A worker whose queue drops a message that came back more than LIMIT times."""
    url = rabbitmq.add_vhost(scratch.name)
    rabbitmq.ctl(
        "set_policy",
        "-p",
        scratch.name,
        "strict",
        ".*",
        f'{{"delivery-limit": {LIMIT}}}',
        "--apply-to",
        "queues",
    )
    ini = (
        broker_section(scratch, url)
        + "[worker:a]\nconcurrency = 1\nprefetch = 4\nstop_timeout = 0s\n"
    )
    made = Suite(scratch, ini, modules="jobs")
    made.module("jobs", JOBS)
    yield made
    rabbitmq.ctl("delete_vhost", scratch.name)


def test_a_task_that_came_back_more_often_than_the_limit_runs(
    suite: Suite, scratch: Path, rabbitmq: RabbitMQNode
) -> None:
    """Running tasks and tasks fetched ahead survive a kill and many stops of their worker."""
    app = make_app(load(suite.etc))
    begun, done = scratch / "begun", scratch / "done"
    begun.touch()
    for number in range(TASKS):
        app.send_task("jobs.wait", [str(scratch), number], ignore_result=True)
    for life in range(LIMIT + 3):
        with suite.running("worker", "a") as worker:
            until(
                lambda life=life: len(begun.read_text("ascii").split()) > life,  # type: ignore[misc]
                what="a task at work",
            )
            until(
                lambda: waiting(rabbitmq, scratch.name) == 0,
                what="the others with the worker",
                every=0.5,
            )
            worker.send_signal(signal.SIGTERM if life else signal.SIGKILL)
            end_of(worker)
    renewed = suite.logged("worker", "task_renewed")
    assert {line["returns"] for line in renewed} <= {2, 3}
    assert len({line["task_id"] for line in renewed}) == TASKS
    (scratch / "go").touch()
    with suite.running("worker", "a"):
        until(
            lambda: done.exists() and len(done.read_text("ascii").split()) >= TASKS,
            what="each of them",
        )
    assert sorted(set(done.read_text("ascii").split())) == ["0", "1", "2"]


def waiting(node: RabbitMQNode, vhost: str) -> int:
    """Return how many messages no worker has."""
    counts = node.ctl(
        "list_queues", "-p", vhost, "--no-table-headers", "name", "messages_ready"
    ).splitlines()
    return next(int(line.split()[1]) for line in counts if line.startswith("default"))
