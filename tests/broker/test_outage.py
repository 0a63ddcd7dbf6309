"""A broker that goes away, or hangs, and comes back.

No daemon is restarted, and work continues within seconds.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis

from support.figures import Figure
from support.servers import RabbitMQNode, listens, rabbitmq_server, redis_server
from support.suite import Suite, broker_section
from support.wait import TIMEOUT, until
from warren.app.factory import make_app
from warren.config import load
from warren.status import heartbeat
from warren.supervise.liveness.hung import silence_limit
from warren.supervise.liveness.observe import Observation

JOBS = """
import time
from celery import shared_task

@shared_task(name="jobs.tick")
def tick():
    pass

@shared_task(name="jobs.run")
def run(path, number):
    with open(path + ".begun", "a") as file:
        file.write(f"{number}\\n")
    time.sleep(0.5)
    with open(path, "a") as file:
        file.write(f"{number}\\n")
"""
INI = "[worker:a]\nconcurrency = 2\n[schedule:s]\ntask = jobs.tick\nevery = 1s\n"
#: Seconds in which work is to go on after the broker takes connections again.
SOON = 5.0
#: Tasks of the test with Redis.
TASKS = 30


@pytest.fixture
def url(rabbitmq: RabbitMQNode, scratch: Path) -> Iterator[str]:
    """A virtual host of the test's own: what it leaves in its queues is nobody else's."""
    yield rabbitmq.add_vhost(scratch.name)
    rabbitmq.ctl("delete_vhost", scratch.name)


def make(scratch: Path, url: str) -> Suite:
    """A worker and a beat that sends a task each second."""
    suite = Suite(scratch, broker_section(scratch, url) + INI, modules="jobs")
    suite.module("jobs", JOBS)
    return suite


def age(suite: Suite, program: str) -> float:
    """Seconds since the heartbeat of the program beat."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - float(
        (suite.heartbeat(program) or {"at": 0})["at"]
    )


def allowed(suite: Suite, program: str) -> float:
    """The silence at which the supervisor would take it for hung, by what its heartbeat says."""
    beat = heartbeat.read(suite.directory / "run", [program]).by_program[program]
    return silence_limit(Observation(beat.process.pid, beat), load(suite.etc))


def done(suite: Suite) -> int:
    """How many tasks have succeeded."""
    return len(suite.logged("worker", "task_succeeded"))


@contextmanager
def working(suite: Suite) -> Iterator[None]:
    """Worker and beat at work; at the end they are the same processes as at the beginning."""
    with suite.running("worker", "a") as worker, suite.running("beat") as beat:
        until(lambda: done(suite) >= 2, what=f"tasks; {suite.log('worker')[-3:]}")
        yield
        assert (worker.poll(), beat.poll()) == (None, None)


def beating(suite: Suite, seconds: float) -> None:
    """Fails when a heartbeat is silent for as long as a supervisor allows."""
    end = time.monotonic() + seconds

    def over() -> bool:
        for program in ("worker-a", "beat"):
            assert age(suite, program) < allowed(suite, program), (
                f"{program} would be taken for hung: {suite.heartbeat(program)}"
            )
        return time.monotonic() > end

    until(over, seconds + TIMEOUT, "the end of the outage")


def again(suite: Suite, node: RabbitMQNode) -> float:
    """Seconds from the moment at which the node takes a connection until a task has run."""
    before = done(suite)
    until(lambda: takes(node), what="RabbitMQ to take a connection")
    back = time.monotonic()
    until(lambda: done(suite) > before, what="a task")
    return time.monotonic() - back


def takes(node: RabbitMQNode) -> bool:
    """Whether the node lets a client in."""
    with (
        Connection(node.url, connect_timeout=TIMEOUT) as connection,
        suppress(OSError, *connection.connection_errors),
    ):
        connection.connect()
        return True
    return False


def test_sending_without_a_broker_ends(
    rabbitmq: RabbitMQNode, url: str, scratch: Path, figure: Figure
) -> None:
    """A task with a result, sent while the broker is away, is an error in bounded time.

    When the broker is back the next one is sent.
    """
    app = make_app(load(make(scratch, url).etc))
    app.send_task("jobs.tick")
    rabbitmq.ctl("stop_app")
    try:
        began = time.monotonic()
        with pytest.raises(OperationalError):
            app.send_task("jobs.tick")
        figure(
            "a task sent while the broker is away: told after", time.monotonic() - began, "<= 30 s"
        )
    finally:
        rabbitmq.ctl("start_app")
    until(lambda: listens(rabbitmq.port), what="RabbitMQ to listen")
    app.send_task("jobs.tick")


def test_an_outage_of_rabbitmq(
    rabbitmq: RabbitMQNode, url: str, scratch: Path, figure: Figure
) -> None:
    """RabbitMQ stops for 12 s, and heartbeats continue all the time.

    After its return tasks are sent and run within seconds.
    """
    suite = make(scratch, url)
    with working(suite):
        rabbitmq.ctl("stop_app")
        beating(suite, 12)
        with ThreadPoolExecutor() as pool:
            started = pool.submit(rabbitmq.ctl, "start_app")
            figure(
                "RabbitMQ stopped for 12 s: a task after it takes connections",
                again(suite, rabbitmq),
                f"<= {SOON:g} s",
            )
            started.result()


def test_a_rabbitmq_that_hangs(scratch: Path, figure: Figure) -> None:
    """RabbitMQ hangs (SIGSTOP) for longer than heartbeats allow: both daemons notice and live.

    Work continues afterwards.
    """
    directory = scratch / "node"
    directory.mkdir()
    with rabbitmq_server(directory) as node:
        suite, pid = (
            make(scratch, node.url),
            int(node.ctl("eval", "os:getpid().").strip().strip('"')),
        )
        with working(suite):
            os.kill(pid, signal.SIGSTOP)
            try:
                beating(suite, 40)
                suite.await_event("worker", "broker_lost")
                suite.await_event("beat", "tick_failed")
            finally:
                os.kill(pid, signal.SIGCONT)
            figure(
                "RabbitMQ hung for 40 s: a task after it takes connections",
                again(suite, node),
                f"<= {SOON:g} s",
            )


def test_a_redis_that_hangs(scratch: Path, figure: Figure) -> None:
    """Redis hangs (SIGSTOP) with running tasks: heartbeats continue, no process ends.

    No task is lost or run twice.
    """
    directory, runs = scratch / "redis", scratch / "runs"
    directory.mkdir()
    with redis_server(directory) as url:
        suite = make(scratch, url)
        app, redis = make_app(load(suite.etc)), Redis.from_url(url)
        pid = int(redis.info("server")["process_id"])
        with working(suite):
            for number in range(TASKS):
                app.send_task("jobs.run", [str(runs), number], ignore_result=True)
            # Both processes at work, with all that was fetched: what had not begun would be
            # delivered again in an hour.
            until(
                lambda: len(numbers(scratch / "runs.begun")) == len(numbers(runs)) + 2 > 4,
                what="tasks at work",
            )
            os.kill(pid, signal.SIGSTOP)
            try:
                beating(suite, 40)
                suite.await_event("worker", "broker_lost")
                suite.await_event("beat", "tick_failed")
                before = len(numbers(runs))
            finally:
                os.kill(pid, signal.SIGCONT)
            back = time.monotonic()
            until(lambda: len(numbers(runs)) > before, what="a task")
            figure(
                "Redis hung for 40 s: a task after its return",
                time.monotonic() - back,
                f"<= {SOON:g} s",
            )
            until(lambda: set(numbers(runs)) == set(range(TASKS)), what="every task")
            sent = {line["task_id"] for line in suite.logged("beat", "tick_sent")}
            until(
                lambda: (
                    sent <= {line["task_id"] for line in suite.logged("worker", "task_succeeded")}
                ),
                what="every tick",
            )
            until(
                lambda: not redis.hlen("unacked"),
                what="nothing left that Redis would deliver again",
            )
    assert sorted(numbers(runs)) == list(range(TASKS))


def numbers(runs: Path) -> list[int]:
    """The numbers that `jobs.run` has noted."""
    return [int(line) for line in runs.read_text(encoding="ascii").split()] if runs.exists() else []


def test_a_password_that_is_refused(rabbitmq: RabbitMQNode, url: str, scratch: Path) -> None:
    """RabbitMQ refuses the password for a while, and the worker is not ended by it.

    It works within seconds of RabbitMQ's return.
    """
    suite = make(scratch, url)
    with working(suite):
        rabbitmq.ctl("change_password", "warren", "another")
        try:
            rabbitmq.ctl("close_all_connections", "--global", "the password was changed")
            until(
                lambda: len(suite.logged("worker", "broker_unreachable")) >= 3,
                what="three refused attempts",
            )
            beating(suite, 3)
        finally:
            rabbitmq.ctl("change_password", "warren", rabbitmq.password)
        again(suite, rabbitmq)
