"""A task that ends its process runs five times.

This holds also where the connection breaks just as it begins.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section, children
from support.wait import let_pass, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
import os, time
from celery import shared_task

def note(path):
    with open(path, "a") as file:
        file.write("x")

@shared_task(name="jobs.die")
def die(path):
    note(path)
    os._exit(3)

@shared_task(name="jobs.die_late")
def die_late(path):
    note(path)
    while not os.path.exists(path + ".go"):
        time.sleep(0.02)
    os._exit(3)
"""
INI = "[worker:a]\nconcurrency = {}\nprefetch = 1\n"


@pytest.fixture
def suite(rabbitmq: RabbitMQNode, scratch: Path) -> Suite:
    """A worker on RabbitMQ, in a virtual host of its own."""
    made = Suite(scratch, broker_section(scratch, rabbitmq.add_vhost(scratch.name)), modules="jobs")
    made.module("jobs", JOBS)
    return made


def given_up(suite: Suite, path: Path, task_id: str) -> None:
    """Wait for the end of the task, which has run five times and has one line for its end."""
    suite.await_event("worker", "task_failed", task_id=task_id)
    let_pass(1)  # in which it may not run again
    assert path.read_text(encoding="ascii") == "x" * 5
    assert len(suite.logged("worker", "task_failed", task_id=task_id)) == 1


def test_a_run_counts_whose_beginning_nobody_heard(
    rabbitmq: RabbitMQNode, suite: Suite, scratch: Path
) -> None:
    """The connection breaks while the task is on its way to a pool child.

    The child runs it all the same, and dies of it.
    """
    suite.write(
        (suite.etc / "warren.ini").read_text(encoding="utf-8").removeprefix(suite.head)
        + INI.format(1)
    )
    app, path = make_app(load(suite.etc)), scratch / "runs"
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        [child] = until(lambda: children(worker.pid), what="the pool's child")
        try:
            os.kill(child, signal.SIGSTOP)
            sent = app.send_task("jobs.die", [str(path)], ignore_result=True)
            until(
                lambda: (suite.heartbeat("worker-a") or {"details": {}})["details"].get("taken"),
                what="the message",
            )
            suite.warren("status")  # the worker has written the task to its child by now
            rabbitmq.ctl("close_all_connections", "--vhost", scratch.name, "a test")
            suite.await_event("worker", "broker_lost")
        finally:
            os.kill(child, signal.SIGCONT)
        given_up(suite, path, sent.id)


def test_a_run_counts_whose_connection_is_gone(
    rabbitmq: RabbitMQNode, suite: Suite, scratch: Path
) -> None:
    """The connection breaks while the task runs, and its message comes again.

    Both runs are lost, and count.
    """
    suite.write(
        (suite.etc / "warren.ini").read_text(encoding="utf-8").removeprefix(suite.head)
        + INI.format(2)
    )
    app, path = make_app(load(suite.etc)), scratch / "runs"
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        sent = app.send_task("jobs.die_late", [str(path)], ignore_result=True)
        suite.await_event("worker", "task_started", task_id=sent.id)
        rabbitmq.ctl("close_all_connections", "--vhost", scratch.name, "a test")
        until(
            lambda: len(suite.logged("worker", "task_started", task_id=sent.id)) == 2,
            what="its second run",
        )
        Path(f"{path}.go").touch()
        given_up(suite, path, sent.id)
