"""Tasks that are due later, and those that are due now, in one queue; on each broker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from support.alarm import alarm
from support.brokers import KINDS, own_url
from support.calls import calls
from support.figures import Figure
from support.later_flood import make, memory, send
from support.servers import RabbitMQNode
from support.suite import Suite
from support.wait import let_pass, until
from warren.app.factory import make_app
from warren.broker.queue_depth import depths
from warren.broker.rejected_count import rejected_over
from warren.cli.status_verb import asked, broker_status_of
from warren.config import load

FLOOD = 300


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, scratch: Path) -> tuple[Suite, str]:
    """A worker on a broker of the test's own, and its URL."""
    url = own_url(request, scratch, 9)
    suite = make(scratch, url, "classic" if request.param == "classic" else "auto")
    return suite, url


def waiting(suite: Suite, url: str) -> Callable[[], int]:
    """How to count what waits in the broker until it is due."""
    app = make_app(load(suite.etc))
    if not url:
        directory = suite.directory / "state" / "broker" / "later"
        return lambda: sum(len(files) for _, _, files in os.walk(directory))
    if url.startswith("redis"):
        counted: Any = redis.Redis.from_url(url)
        return lambda: int(counted.zcard("unacked_later"))
    levels = [f"warren.later.default.{2**level}" for level in range(24)]
    return lambda: sum(found or 0 for found in depths(app, levels).values())


def has_run(path: Path, times: int) -> bool:
    """Whether the tasks of that file have run so often."""
    return len(calls(path)) == times


def test_what_is_due_much_later_holds_up_nothing(
    made: tuple[Suite, str], scratch: Path, figure: Figure
) -> None:
    """The task waits in the broker, also when the worker is killed.

    The next task that is due runs, and later ones as well.
    """
    suite, url = made
    app, path, late = make_app(load(suite.etc)), scratch / "calls", scratch / "late"
    in_broker = waiting(suite, url)
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        send(suite, url, FLOOD, lambda: 86400.0, str(late))
        before, sent = memory(worker.pid), time.monotonic()
        app.send_task("jobs.note", [str(path)], ignore_result=True)
        until(lambda: calls(path), what="the task that is due")
        figure(
            f"the next task behind {FLOOD} that are due in a day",
            time.monotonic() - sent,
            "20,000 before: 41 s",
        )
        until(lambda: in_broker() == FLOOD, what="all of them in the broker")
        figure(
            f"memory for {FLOOD} that are due in a day",
            f"{memory(worker.pid) - before} kB",
            "no growth with their number",
        )
        send(suite, url, FLOOD, lambda: 86400.0, str(late))
        until(lambda: in_broker() > FLOOD, what="some more in the broker")
        worker.send_signal(signal.SIGKILL)
    with suite.running("worker", "a"):
        # What the killed worker had comes again: from Redis after the visibility_timeout.
        least = 2 * FLOOD - (4 if url.startswith("redis") else 0)
        until(lambda: in_broker() >= least, what="the rest in the broker")
        app.send_task("jobs.note", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) == 2, what="one more task that is due")
    assert not late.exists()


def test_status_counts_what_is_due_later(made: tuple[Suite, str], scratch: Path) -> None:
    """A waiting task is found as soon as its queue is there, whoever has sent it.

    This holds wherever it waits, with and without a watchdog, and over restarts.
    """
    suite, url = made
    app, in_broker = make_app(load(suite.etc)), waiting(suite, url)

    def said() -> Any:
        return asked(load(suite.etc))["later"]

    def published() -> Any:
        return (broker_status_of(load(suite.etc)) or {}).get("later")

    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        send(suite, url, 30, lambda: 86400.0, str(scratch / "late"))
        until(lambda: in_broker() == 30, what="what others have sent")
        until(lambda: said() == 30, what="it is counted")
        for _ in range(5):
            app.send_task("jobs.note", [str(scratch / "late")], countdown=86400, ignore_result=True)
        until(lambda: said() == 35, what="what Warren's own client has sent")
    with suite.running("quota-watchdog"):
        until(lambda: published() == 35, what="the broker status has it")


def test_what_comes_due_runs_at_its_moment(made: tuple[Suite, str], scratch: Path) -> None:
    """A task that any client sent runs once, and not before its moment.

    This holds under a quota or not; a worker keeps what is due soon.
    """
    suite, url = made
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        for task, path in (("jobs.note", scratch / "plain"), ("jobs.call", scratch / "called")):
            offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.time()
            began = time.time()
            send(suite, url, 10, lambda: 5.0, str(path), task)
            until(partial(has_run, path, 10), what=f"the tasks {task}")
            assert min(calls(path)) >= began + offset + 5
    let_pass(1)
    assert len(calls(scratch / "plain")) == len(calls(scratch / "called")) == 10


def test_a_client_of_warren_sends_it_to_where_it_waits(
    made: tuple[Suite, str], scratch: Path
) -> None:
    """On Redis and the embedded broker no worker ever sees a task that is due much later.

    RabbitMQ does so by itself.
    """
    suite, url = made
    app, path = make_app(load(suite.etc)), scratch / "calls"
    in_broker = waiting(suite, url)
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        for _ in range(10):
            app.send_task("jobs.note", [str(scratch / "late")], countdown=86400, ignore_result=True)
        app.send_task("jobs.note", [str(path)], ignore_result=True)
        until(lambda: calls(path), what="the task that is due")
        if not url.startswith("amqp"):
            assert in_broker() == 10
        app.send_task("jobs.note", [str(path)], countdown=2, ignore_result=True)
        until(lambda: len(calls(path)) == 2, what="the task that is due soon")
    assert not (scratch / "late").exists()


@pytest.mark.parametrize(
    "made", ["embedded", "redis"], indirect=True
)  # on RabbitMQ the other tests of this file see it
def test_what_was_put_aside_comes_back_in_time(made: tuple[Suite, str], scratch: Path) -> None:
    """From where it waits it comes to the worker some seconds before its moment, and runs then."""
    suite, _ = made
    app, path = make_app(load(suite.etc)), scratch / "calls"
    due = datetime.now(UTC) + timedelta(seconds=63)
    app.send_task("jobs.note", [str(path)], eta=due, ignore_result=True)
    offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.time()
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        until(lambda: calls(path), what="the task")
    assert calls(path)[0] >= due.timestamp() + offset


def test_under_an_alarm_tasks_that_are_due_run(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """RabbitMQ takes nothing back then.

    The other tasks wait in the worker, and leave when the alarm is over.
    """
    url = rabbitmq.add_vhost(scratch.name)
    suite = make(scratch, url, "classic")
    app, path = make_app(load(suite.etc)), scratch / "calls"
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")  # it has declared what is needed
    in_broker = waiting(suite, url)
    send(suite, url, FLOOD, lambda: 86400.0, str(scratch / "late"))
    app.send_task("jobs.note", [str(path)], ignore_result=True)
    with alarm(rabbitmq), suite.running("worker", "a"):
        until(lambda: calls(path), what="the task that is due")
        rabbitmq.ctl("set_disk_free_limit", "10MB")  # the alarm is over
        until(lambda: in_broker() == FLOOD, what="all of them in the broker")


def test_where_rabbitmq_grants_no_such_queue_they_wait_in_the_worker(
    scratch: Path, rabbitmq: RabbitMQNode
) -> None:
    """The worker says so once.

    Tasks that are due run, the others at their moment, and nothing is rejected.
    """
    url = rabbitmq.add_vhost(scratch.name)
    rabbitmq.ctl(
        "set_permissions", "-p", scratch.name, "warren", r"^(?!warren\.later).*", ".*", ".*"
    )
    suite = make(scratch, url, "classic")
    app, path, late = make_app(load(suite.etc)), scratch / "calls", scratch / "late"
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        send(suite, url, 20, lambda: 86400.0, str(late))
        send(suite, url, 1, lambda: 63.0, str(path))
        app.send_task("jobs.note", [str(path)], ignore_result=True)
        until(lambda: calls(path), what="the task that is due")
        suite.await_event("worker", "cannot_postpone")
        until(lambda: len(calls(path)) == 2, what="the task that comes due")
    assert len(suite.logged("worker", "cannot_postpone")) == 1
    assert not suite.logged("worker", "message_rejected")
    assert not late.exists()


def test_a_dead_letter_with_an_eta_is_there_at_once(made: tuple[Suite, str], scratch: Path) -> None:
    """Whatever its ETA is, too far or wrong, the message is where people look for it.

    It waits for nothing.
    """
    suite, url = made
    in_broker = waiting(suite, url)
    state = load(suite.etc).app.state_dir
    with (
        suite.running("worker", "a"),
        make_app(load(suite.etc)).connection_for_read() as connection,
    ):
        suite.await_event("worker", "ready")
        send(suite, url, 1, lambda: 86400.0, str(scratch / "late"), timelimit="none")
        send(suite, url, 1, lambda: 400 * 86400.0, str(scratch / "late"))
        until(lambda: rejected_over(connection, state) == 2, what="two dead letters")
    assert in_broker() == 0


def test_redis_a_moment_stays_where_it_is_when_the_visibility_timeout_is_changed(
    redis_url: str,
) -> None:
    """What was sent with earlier settings comes when it is due, not later.

    What is not due stays; each task comes once.
    """
    url = redis_url.removesuffix("/0") + "/9"
    database: Any = redis.Redis.from_url(url)
    database.flushdb()

    def channel(timeout: int) -> Any:
        options = {
            "visibility_timeout": timeout,
            "unacked_restore_throttle": 1,
            "global_keyprefix": "p.",
        }
        connection = Connection(
            url,
            transport="warren.broker.redis.redis_transport:Transport",
            transport_options=options,
        )
        return connection.channel()

    info = {"exchange": "", "routing_key": "q"}
    properties = {
        "delivery_info": info,
        "delivery_tag": "",
        "body_encoding": "base64",
        "priority": 0,
    }
    message = {
        "body": "",
        "headers": {},
        "properties": properties,
        "content-type": "",
        "content-encoding": "utf-8",
    }
    for before, after in ((3600, 21600), (21600, 3600)):
        sender = channel(before)
        for seconds in (-60, -1, 60):
            sender.qos.note_later(message, "q", time.time() + seconds)
        for worker in (channel(after), channel(after)):
            worker.qos.restore_visible(interval=1)
        assert database.llen("p.q") == 2
        assert database.zcard("p.unacked_later") == database.hlen("p.unacked") == 1
        # Taken, and put off: no worker has it any more, nor does it come before it is due.
        taker = channel(after)
        taken = taker.basic_get("q")
        assert taken is not None
        taker.postpone(taken, time.time() + 60)
        taker.qos.restore_visible(interval=1)
        taker.close()
        assert (
            database.llen("p.q"),
            database.zcard("p.unacked_later"),
            database.zcard("p.unacked_index"),
        ) == (1, 2, 0)
        assert database.hlen("p.unacked") == 2
        database.flushdb()
