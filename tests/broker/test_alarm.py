"""A RabbitMQ that is low on disk or memory: what continues, and what is told."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.alarm import alarm
from support.calls import calls, worst
from support.figures import Figure
from support.sample import SAMPLE
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import let_pass, result_of, until
from warren.broker.publish_timeout import NotTaken
from warren.broker.queue_depth import depths
from warren.broker.rabbitmq.confirming_channel import SILENCE
from warren.config import load

JOBS = (
    SAMPLE
    + """
from kombu.exceptions import OperationalError

@shared_task(name="jobs.nap")
def nap(path):
    time.sleep(0.1)
    note(path)

@shared_task(name="jobs.fail")
def fail():
    raise ValueError("no")

@shared_task(name="jobs.again", bind=True, max_retries=1)
def again(self, go, path):
    end = time.monotonic() + 600
    while time.monotonic() < end and not os.path.exists(go):
        time.sleep(0.02)
    note(path, f" {self.request.retries}")
    if not self.request.retries:
        raise self.retry(countdown=0)

@shared_task(name="jobs.hold")
def hold(go, path):
    end = time.monotonic() + 600
    while time.monotonic() < end and not os.path.exists(go):
        time.sleep(0.02)
    send(path)

@shared_task(name="jobs.send")
def send(path):
    began = time.monotonic()
    try:
        add.delay(1, 2)
    except OperationalError as error:
        note(path, f" {time.monotonic() - began:.1f} {error}")
"""
)

LIMIT, WINDOW, TIMEOUT = 10, 2.0, 5.0

INI = """
publish_timeout = 5s
[queue:calls{suffix}]
tasks = jobs.call
[queue:other{suffix}]
tasks = jobs.*
[worker:a]
remote_control = true
queues = calls{suffix}, other{suffix}
prefetch = 4
[quota:provider]
limit = 10/2s
tasks = jobs.call
"""


@pytest.fixture
def suite(rabbitmq: RabbitMQNode, scratch: Path) -> Suite:
    """A worker of one queue under a quota and another one, and senders that wait five seconds."""
    made = Suite(
        scratch,
        broker_section(scratch, rabbitmq.url) + INI.format(suffix=f"-{scratch.name[-8:]}"),
        modules="jobs",
    )
    made.module("jobs", JOBS)
    return made


def own_queues(app: Any, scratch: Path) -> list[str]:
    """Return the queues of this test alone.

    In queues with a common name another test of this node may have left tasks.
    """
    found = [queue.name for queue in app.conf.task_queues if queue.name.endswith(scratch.name[-8:])]
    assert len(found) == 2
    return found


def done(suite: Suite, task: str) -> int:
    """How many tasks of this name have succeeded."""
    return len(suite.logged("worker", "task_succeeded", task=task))


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_sending_ends_with_a_clear_error_in_bounded_time(
    app: Any, suite: Suite, rabbitmq: RabbitMQNode, kind: str, figure: Figure
) -> None:
    """Under an alarm each send fails after publish_timeout and says why.

    Nothing of it arrives later, and the next one works.
    """
    app.send_task("jobs.add", [1, 2], ignore_result=True)
    queue = load(suite.etc).queue_of("jobs.add")
    # A sender that was answered a moment ago does not ask first: of an alarm that begins just then
    # it learns too late.
    let_pass(2 * SILENCE)
    with alarm(rabbitmq, kind):
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(NotTaken, match=r"connection\.blocked.*not sent"):
                app.send_task("jobs.add", [1, 2], ignore_result=True)
            took = time.monotonic() - began
            assert took >= TIMEOUT
            figure(f"{kind} alarm: a send fails after", took, f"{TIMEOUT:g} s")
    app.send_task("jobs.add", [1, 2], ignore_result=True)
    assert depths(app, [queue])[queue] == 2


@pytest.mark.usefixtures("worker")
def test_a_full_queue_drains(app: Any, suite: Suite, rabbitmq: RabbitMQNode, scratch: Path) -> None:
    """Under an alarm a worker continues with plain tasks, results and failures.

    It also continues with tasks of a quota that is used up again and again.
    """
    path, plain = scratch / "calls", scratch / "plain"
    for _ in range(3 * LIMIT):
        app.send_task("jobs.call", [str(path)], ignore_result=True)
    until(lambda: calls(path), what="the first call")
    for _ in range(300):
        app.send_task("jobs.note", [str(plain)], ignore_result=True)
    results = [app.send_task("jobs.add", [n, n]) for n in range(50)]
    for _ in range(20):
        app.send_task("jobs.fail")
    with alarm(rabbitmq):
        until(lambda: len(calls(plain)) == 300, what="the plain tasks")
        # But for one that may have been on its way back when the alarm began: the broker has it in
        # hand until the end.
        until(lambda: len(calls(path)) >= 3 * LIMIT - 1, what="the tasks of the quota")
        until(lambda: done(suite, "jobs.add") == 50, what="the tasks with a result")
        until(lambda: len(suite.logged("worker", "task_failed")) == 20, what="the failures")
        until(lambda: not any(depths(app, own_queues(app, scratch)).values()), what="empty queues")
    assert [result_of(result) for result in results] == [2 * n for n in range(50)]
    until(lambda: len(calls(path)) >= 3 * LIMIT, what="every task of the quota")
    assert len(calls(path)) == 3 * LIMIT
    assert worst(calls(path), WINDOW) <= LIMIT
    assert not suite.logged("worker", "broker_lost")


@pytest.mark.usefixtures("worker")
def test_a_task_that_sends_is_told(
    app: Any, scratch: Path, rabbitmq: RabbitMQNode, figure: Figure
) -> None:
    """`delay()` inside a task fails after publish_timeout under an alarm.

    Its pool child continues.
    """
    path, plain = scratch / "told", scratch / "plain"
    for _ in range(2):
        app.send_task("jobs.send", [str(path)], ignore_result=True)
        app.send_task("jobs.note", [str(plain)], ignore_result=True)
    until(lambda: len(calls(plain)) == 2, what="tasks before the alarm")
    assert not path.exists()
    go = [
        app.send_task("jobs.hold", [str(scratch / "go"), str(path)], ignore_result=True)
        for _ in range(2)
    ]
    assert len(go) == 2
    with alarm(rabbitmq):
        (scratch / "go").touch()
        until(lambda: path.exists() and len(path.read_text().splitlines()) == 2, what="both errors")
    for line in path.read_text().splitlines():
        _, seconds, text = line.split(" ", 2)
        assert float(seconds) >= TIMEOUT - 0.1
        figure("disk alarm: a send of a task fails after", float(seconds), f"{TIMEOUT:g} s")
        assert "connection.blocked" in text


def test_a_task_that_wants_to_be_tried_again_is_not_lost(
    app: Any, suite: Suite, worker: Any, rabbitmq: RabbitMQNode, scratch: Path
) -> None:
    """A retry that cannot be sent under an alarm goes back to its queue.

    It runs again after the alarm and is retried then.
    """
    path = scratch / "again"
    app.send_task("jobs.again", [str(scratch / "go"), str(path)], ignore_result=True)
    until(lambda: suite.heartbeat("worker-a")["details"].get("running"), what="a running task")  # type: ignore[index]
    with alarm(rabbitmq):
        (scratch / "go").touch()
        suite.await_event("worker", "task_requeued")
    until(lambda: path.read_text().splitlines()[-1].endswith(" 1"), what="the second attempt")
    assert [line.split()[1] for line in path.read_text().splitlines()] == ["0", "0", "1"]


def test_a_worker_that_stops_leaves_each_task_once(
    app: Any, suite: Suite, rabbitmq: RabbitMQNode, scratch: Path
) -> None:
    """Under an alarm a worker with messages that wait to go back ends soon.

    Afterwards each of its tasks runs, once.
    """
    path = scratch / "calls"
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        for _ in range(2 * LIMIT):
            app.send_task("jobs.call", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) == LIMIT, what="an exhausted quota")
        with alarm(rabbitmq):
            worker.terminate()
            until(lambda: worker.poll() is not None, what="the end of the worker")
            assert worker.returncode == 0
    assert len(calls(path)) <= 2 * LIMIT
    with suite.running("worker", "a"):
        queues = own_queues(app, scratch)
        until(
            lambda: len(calls(path)) >= 2 * LIMIT and not any(depths(app, queues).values()),
            what="every task",
        )
    # But for one copy that may have been on its way when the alarm began.
    assert len(calls(path)) <= 2 * LIMIT + 1
    assert worst(calls(path), WINDOW) <= LIMIT


def test_remote_control_does_not_stop_a_worker(
    app: Any, suite: Suite, worker: Any, rabbitmq: RabbitMQNode, scratch: Path
) -> None:
    """Questions whose answers the broker does not take leave the worker's loop running.

    Its heartbeat stays fresh and tasks run.
    """
    plain = scratch / "plain"
    until(app.control.ping, what="an answer before the alarm")
    for _ in range(100):
        app.send_task("jobs.nap", [str(plain)], ignore_result=True)
    with alarm(rabbitmq):
        for _ in range(3):
            # The first message of a connection is taken even now: these questions reach the worker,
            # which answers.
            with (
                app.connection_for_write(
                    transport_options={"confirm_publish": False}
                ) as connection,
                suppress(NotTaken),
            ):
                # load: there is no answer
                app.control.inspect(connection=connection, timeout=0.5).ping()
        until(lambda: len(calls(plain)) == 100, what="every task")
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        until(lambda: suite.heartbeat("worker-a")["at"] > now, what="a heartbeat that continues")  # type: ignore[index]
    until(app.control.ping, what="an answer after the alarm")


def test_beat_continues_and_sends_each_tick_once(
    suite: Suite, app: Any, rabbitmq: RabbitMQNode
) -> None:
    """Under an alarm beat's heartbeat is written and says what is wrong.

    Afterwards beat sends the newest tick, and none twice.
    """
    suite.write(
        (suite.etc / "warren.ini").read_text(encoding="utf-8").removeprefix(suite.head)
        + "[schedule:s]\ntask = jobs.add\nargs = [1, 2]\nevery = 2s\n"
    )
    queue = load(suite.etc).queue_of("jobs.add")
    with app.connection_for_write() as connection:
        next(each for each in app.conf.task_queues if each.name == queue)(
            connection.default_channel
        ).declare()
    with suite.running("beat"):
        suite.await_event("beat", "tick_sent")
        with alarm(rabbitmq):
            suite.await_event("beat", "tick_failed")
            before = len(suite.logged("beat", "tick_sent"))
            for _ in range(3):
                at = suite.heartbeat("beat")["at"]  # type: ignore[index]
                until(
                    lambda at=at: suite.heartbeat("beat")["at"] > at,  # type: ignore[misc, index]
                    what="a newer heartbeat",
                )
            assert len(suite.logged("beat", "tick_sent")) == before
        until(
            lambda: len(suite.logged("beat", "tick_sent")) > before + 1,
            what="ticks after the alarm",
        )
    ticks = [line["tick"] for line in suite.logged("beat", "tick_sent")]
    assert len(set(ticks)) == len(ticks)
    assert depths(app, [queue])[queue] == len(ticks)
