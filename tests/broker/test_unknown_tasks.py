"""Tasks that a worker does not have, and messages that no worker can run.

New code comes to a fleet host by host.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.alarm import alarm
from support.brokers import KINDS, own_section
from support.calls import NOTING, calls
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import let_pass, result_of, until
from warren.app.factory import make_app
from warren.broker.queue_names import REJECTED
from warren.config import load

OLD = (
    NOTING
    + """
from celery import shared_task

@shared_task(name="jobs.old")
def old(path):
    note(path)
"""
)
NEW = (
    OLD
    + """
@shared_task(name="jobs.new")
def new(path):
    note(path)
"""
)
#: 20 tasks through two workers: each has them to itself half of the time.
TASKS = 20


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, scratch: Path) -> Callable[..., Suite]:
    """Start a host of a fleet on a broker of the test's own.

    It has a name, the text of its module and more of its settings.
    """
    broker = own_section(request, scratch, 7)

    def make(name: str, module: str, more: str) -> Suite:
        suite = Suite(scratch / name, "", modules="jobs")
        # embedded: shared
        suite.head = suite.head.replace(
            f"state_dir = {suite.directory}/state", f"state_dir = {scratch}/state"
        )
        suite.write(f"{broker}{more}[queue:default]\ntasks = *\n[worker:{name}]\n")
        suite.module("jobs", module)
        return suite

    return make


def dead_letters(suite: Suite) -> list[dict[str, Any]]:
    """Headers of the messages that lie where nobody takes them, which stay there."""
    settings = load(suite.etc)
    directory = settings.app.state_dir / "broker" / "rejected"
    if settings.broker.embedded:
        return [
            json.loads(file.read_text(encoding="utf-8"))["headers"]
            for file in directory.glob("*/*")
        ]
    with make_app(settings).connection_for_read() as connection:
        channel = connection.channel()
        found: list[dict[str, Any]] = []
        try:
            while (message := channel.basic_get(REJECTED)) is not None:
                found.append(channel.message_to_python(message).headers)
        except connection.channel_errors:
            pass  # there is no such queue yet
    return found  # the connection has ended without an acknowledgement: they are there again


def test_a_new_task_that_one_of_two_hosts_has_runs_there(
    made: Callable[..., Suite], scratch: Path
) -> None:
    """With new code on one host of two, each of its tasks runs, once, and none is rejected.

    Old tasks continue meanwhile.
    """
    path = scratch / "calls"
    before, after = made("old", OLD, ""), made("new", NEW, "")
    app = make_app(load(after.etc))
    with before.running("worker", "old"), after.running("worker", "new"):
        before.await_event("worker", "ready")
        after.await_event("worker", "ready")
        for _ in range(TASKS):
            app.send_task("jobs.new", [str(path)], ignore_result=True)
            app.send_task("jobs.old", [str(path)], ignore_result=True)
        # which of the two hosts takes one is chance
        until(lambda: len(calls(path)) >= 2 * TASKS, 600, "every task")
        app.send_task("jobs.old", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) > 2 * TASKS, what="one more")
    assert len(calls(path)) == 2 * TASKS + 1
    assert not before.logged("worker", "message_rejected")
    assert dead_letters(after) == []


def test_a_task_that_nobody_has_is_kept_as_a_dead_letter(
    made: Callable[..., Suite], scratch: Path
) -> None:
    """After unknown_task_timeout it is kept with reason, time, host and queue.

    The worker has logged it with name and id.
    """
    suite = made("old", OLD, "unknown_task_timeout = 1s\n")
    app = make_app(load(suite.etc))
    with suite.running("worker", "old"):
        suite.await_event("worker", "ready")
        sent = app.send_task("jobs.nwe", ["x"])
        said = suite.await_event("worker", "message_rejected")
        (headers,) = until(lambda: dead_letters(suite), what="the dead letter")
        assert result_of(app.send_task("jobs.old", [str(scratch / "calls")])) is None
    assert (said["task"], said["task_id"], said["queue"]) == ("jobs.nwe", sent.id, "default")
    assert suite.logged("worker", "task_unknown", task="jobs.nwe", task_id=sent.id)
    why = headers["warren_rejected"]
    assert (headers["id"], why["queue"], why["host"], why["worker"]) == (
        sent.id,
        "default",
        load(suite.etc).host,
        "old",
    )
    assert "jobs.nwe" in why["reason"]
    assert headers["warren_unknown"][0] > 1


def test_a_message_that_is_no_task_is_kept_as_well(made: Callable[..., Suite]) -> None:
    """What is malformed lies with its headers, once, where the unknown tasks lie."""
    suite = made("old", OLD, "")
    app = make_app(load(suite.etc))
    with suite.running("worker", "old"):
        suite.await_event("worker", "ready")
        with app.connection_for_write() as connection:
            connection.Producer().publish(
                {"no": "task"}, routing_key="default", headers={"from": "a test"}, delivery_mode=2
            )
        suite.await_event("worker", "message_rejected")
        (headers,) = until(lambda: dead_letters(suite), what="the dead letter")
    assert headers["from"] == "a test"
    assert headers["warren_rejected"]["reason"]


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_under_an_alarm_an_unknown_task_waits_and_continues_to_who_has_it(
    scratch: Path, rabbitmq: RabbitMQNode, kind: str
) -> None:
    """Under an alarm the host keeps a file, which is sent on when the alarm is over.

    RabbitMQ takes nothing back then; nothing is rejected.
    """
    broker = broker_section(scratch, rabbitmq.add_vhost(scratch.name)) + f"queue_type = {kind}\n"
    suites = {}
    for name, module in (("old", OLD), ("new", NEW)):
        suites[name] = Suite(
            scratch / name, f"{broker}[queue:default]\ntasks = *\n[worker:{name}]\n", modules="jobs"
        )
        suites[name].module("jobs", module)
    path, old, new = scratch / "calls", suites["old"], suites["new"]
    app = make_app(load(new.etc))
    with old.running("worker", "old"):
        old.await_event("worker", "ready")
    for _ in range(3):
        app.send_task("jobs.new", [str(path)], ignore_result=True)
    app.send_task("jobs.old", [str(path)], ignore_result=True)
    with alarm(rabbitmq), old.running("worker", "old"):
        until(lambda: calls(path), what="the task that it has")
        until(lambda: len(old.logged("worker", "kept_here")) == 3, what="the others in files")
    with old.running("worker", "old"), new.running("worker", "new"):
        until(lambda: len(calls(path)) >= 4, 600, "every task")
        let_pass(1)
    assert len(calls(path)) == 4
    assert not old.logged("worker", "message_rejected")
    assert not list((old.directory / "state" / "returning").glob("*/*.json"))
