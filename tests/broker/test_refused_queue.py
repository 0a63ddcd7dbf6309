"""A queue that RabbitMQ already has with other arguments.

The worker says which and what to do, and recovers by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.supervised import QUIET, TASK
from support.wait import until
from warren.errors import ExitCode
from warren.health.finding import Level
from warren.health.observation import look
from warren.health.report import judge


@pytest.fixture
def taken(rabbitmq: RabbitMQNode) -> Iterator[str]:
    """The URL of a virtual host in which somebody else has made the queue `shop`, a classic one."""
    name = f"taken-{secrets.token_hex(4)}"
    url = rabbitmq.add_vhost(name)
    with Connection(url) as connection:
        connection.default_channel.queue_declare("shop", durable=True, auto_delete=False)
    yield url
    rabbitmq.ctl("delete_vhost", name)


INI = f"[queue:shop]\n[worker:a]\nqueues = shop\nconcurrency = 1\n{QUIET}"


def make(scratch: Path, url: str) -> Suite:
    """A suite whose worker consumes that queue."""
    suite = Suite(scratch, broker_section(scratch, url) + INI, modules="jobs")
    suite.module("jobs", TASK)
    return suite


def test_the_worker_names_the_queue_and_the_way_on(scratch: Path, taken: str) -> None:
    """The worker ends with one line in the grammar of errors and 69, without a traceback.

    With the queue type that it names it starts.
    """
    suite = make(scratch, taken)
    done = suite.warren("worker", "a")
    assert done.returncode == ExitCode.UNAVAILABLE, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(
        f"{suite.etc}/warren.ini:7: [broker] queue_type: expected the broker's queue shop to be "
    )
    assert "of type quorum" in done.stderr
    assert "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'shop'" in done.stderr
    assert "; set queue_type = classic" in done.stderr
    assert "Traceback" not in (suite.directory / "log" / "worker.log").read_text(encoding="utf-8")
    assert [line["exit_code"] for line in suite.logged("worker", "refused")] == [
        ExitCode.UNAVAILABLE
    ]
    suite.write(f"{broker_section(scratch, taken)}queue_type = classic\n{INI}")
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")


def test_the_suite_tells_it_and_heals(scratch: Path, taken: str) -> None:
    """status and health have the worker's own line.

    When the queue is deleted the worker starts by itself.
    """
    suite = make(scratch, taken)

    def told() -> bool:
        found = judge(look(suite.directory / "run", (suite.directory,)))
        return any(
            each.level == Level.CRITICAL and "the broker's queue shop" in each.text
            for each in found
        )

    with suite.running("supervise"):
        until(
            lambda: "expected the broker's queue" in str(suite.status()), what="the line in status"
        )
        until(told, what="the line in health")
        with Connection(taken) as connection:
            connection.default_channel.queue_delete("shop")
        until(suite.ready, what="the worker to start by itself")
