"""Tasks and messages that would end a stock worker, or bend a quota.

Each costs only itself.
"""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kombu import Exchange

from support.calls import NOTING, calls, worst
from support.suite import ENVIRONMENT, WARREN, Suite
from support.wait import end_of, result_of, run_to_end, until
from warren.app.factory import make_app
from warren.config import load
from warren.quotas.ledgers import Ledgers
from warren.system.process import Process

JOBS = (
    NOTING
    + """
from celery import shared_task
from warren.quotas.client import quota

def runs(path):
    return len(open(path).readlines()) if os.path.exists(path) else 0

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.memory")
def memory():
    raise MemoryError("x")

@shared_task(name="jobs.die")
def die(path):
    note(path)
    os._exit(7)

@shared_task(name="jobs.kill_worker")
def kill_worker(path, others):
    note(path)
    while runs(others) < runs(path) < 5:  # the innocent one is at work as well
        time.sleep(0.05)
    os.kill(os.getppid(), 9)
    time.sleep(60)

@shared_task(name="jobs.long")
def long(path):
    note(path)
    while not os.path.exists(path + ".go"):
        time.sleep(0.05)
    return "done"

@shared_task(name="jobs.secret", bind=True, max_retries=0)
def secret(self, word):
    self.retry(countdown=0)

@shared_task(name="jobs.call")
def call(path):
    note(path)

@shared_task(name="jobs.eager")
def eager(path):
    add.apply([1, 2])
    time.sleep(0.3)
    note(path)

@shared_task(name="jobs.fork")
def fork(path):
    child = os.fork()
    with quota("provider").call():
        note(path)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""
)

LIMIT, WINDOW = 2, 3.0

INI = """
[queue:calls]
tasks = jobs.call, jobs.eager, jobs.fork
[worker:a]
queues = default, calls
concurrency = {concurrency}
prefetch = 4
[quota:provider]
limit = 2/3s
tasks = jobs.call, jobs.eager, jobs.fork
longest_call = 1s
cost = {cost}
"""


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker with a small quota on the embedded broker."""
    made = Suite(scratch, INI.format(cost=1, concurrency=2), modules="jobs")
    made.module("jobs", JOBS)
    return made


def test_a_memory_error_is_a_failure_like_others(worker: Any, app: Any, suite: Suite) -> None:
    """The task fails once, is logged, and the worker continues."""
    bad = app.send_task("jobs.memory")
    assert isinstance(result_of(bad, propagate=False), MemoryError)
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    # its result may be there before its line
    suite.await_event("worker", "task_failed", task_id=bad.id)
    assert len(suite.logged("worker", "task_failed", task_id=bad.id)) == 1
    assert worker.poll() is None


def test_a_task_that_ends_every_process_is_given_up(
    worker: Any, app: Any, suite: Suite, scratch: Path
) -> None:
    """It runs five times, then it has failed; the tasks around it run."""
    path = scratch / "runs"
    bad = app.send_task("jobs.die", [str(path)])
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert "WorkerLost" in type(result_of(bad, propagate=False)).__name__
    suite.await_event("worker", "task_failed", task_id=bad.id)
    assert len(calls(path)) == 5
    assert [
        line["crashes"] for line in suite.logged("worker", "task_requeued", task_id=bad.id)
    ] == [1, 2, 3, 4]
    assert len(suite.logged("worker", "task_failed", task_id=bad.id)) == 1
    assert worker.poll() is None


def test_a_task_that_kills_its_worker_is_given_up(app: Any, suite: Suite, scratch: Path) -> None:
    """It runs five times, then it has failed.

    A long task that ran each time as well is done.
    """
    path, long = scratch / "runs", scratch / "long"
    innocent = app.send_task("jobs.long", [str(long)])
    bad = app.send_task("jobs.kill_worker", [str(path), str(long)])
    for death in range(1, 6):
        with suite.running("worker", "a") as worker:
            assert end_of(worker) == -signal.SIGKILL
        if death == 4:
            (scratch / "long.go").touch()  # from now on the two are not at work at the same time
    with suite.running("worker", "a") as worker:
        error = result_of(bad, propagate=False)
        assert result_of(innocent) == "done"
        suite.await_event("worker", "task_failed", task_id=bad.id)
        assert worker.poll() is None
    assert "WorkerLost" in type(error).__name__
    assert "died 5 times" in str(error)
    assert len(calls(path)) == 5
    # it was there at four deaths, and then ran while the bad one did not
    assert len(calls(long)) == 5
    assert [
        line["crashes"] for line in suite.logged("worker", "task_requeued", task_id=bad.id)
    ] == [1, 2, 3, 4, 5]
    assert len(suite.logged("worker", "task_failed", task_id=bad.id)) == 1


MALFORMED: dict[str, tuple[dict[str, Any], Any]] = {
    "id is a list": ({"id": [1]}, [[1, 2], {}, {}]),
    "id is missing": ({"id": None}, [[1, 2], {}, {}]),
    "task is an object": ({"task": {"a": 1}}, [[1, 2], {}, {}]),
    "expires is an object": ({"expires": {}}, [[1, 2], {}, {}]),
    "timelimit is a word": ({"timelimit": "x"}, [[1, 2], {}, {}]),
    "timelimit is below 0": ({"timelimit": [-1, -1]}, [[1, 2], {}, {}]),
    "timelimit is words": ({"timelimit": ["a", "b"]}, [[1, 2], {}, {}]),
    "stamps are a number": ({"stamps": 5, "stamped_headers": 7}, [[1, 2], {}, {}]),
    "body is null": ({}, None),
    "body is a text": ({}, "x"),
    "body is too short": ({}, [1]),
    "arguments are a number": ({}, [7, {}, {}]),
}


@pytest.mark.parametrize("task", ["jobs.add", "jobs.call"])
def test_a_malformed_message_costs_itself(
    worker: Any, app: Any, suite: Suite, scratch: Path, task: str
) -> None:
    """Each is rejected with a reason, and the worker lives.

    It holds no slot for it, and runs what comes after.
    """
    key = "calls" if task == "jobs.call" else "default"
    with app.connection_for_write() as connection:
        producer = connection.Producer(exchange=Exchange("warren", "topic"), routing_key=key)
        for number, (headers, body) in enumerate(MALFORMED.values()):
            whole = {"task": task, "id": f"bad-{number}"} | headers
            producer.publish(
                json.dumps(body),
                headers=whole,
                content_type="application/json",
                content_encoding="utf-8",
            )
    until(
        lambda: len(suite.logged("worker", "message_rejected")) == len(MALFORMED),
        what="every reason",
    )
    assert all(
        line["reason"].startswith("expected ")
        for line in suite.logged("worker", "message_rejected")
    )
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    result_of(app.send_task("jobs.call", [str(scratch / "calls")]))
    assert worker.poll() is None


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("task", ["jobs.eager", "jobs.fork"])
def test_what_a_task_starts_itself_does_not_bend_the_limit(
    app: Any, scratch: Path, task: str
) -> None:
    """For a task that runs another one with `apply`, or forks, the quota holds.

    No window holds more calls than the limit.
    """
    path = scratch / "calls"
    for _ in range(3):
        app.send_task(task, [str(path)], ignore_result=True)
    expected = 6 if task == "jobs.fork" else 3
    until(lambda: len(calls(path)) == expected, what="every call")
    assert worst(calls(path), WINDOW) <= LIMIT


@pytest.mark.usefixtures("worker")
def test_an_expired_task_takes_no_slot(app: Any, suite: Suite, scratch: Path) -> None:
    """Tasks whose time is over are dropped without a call.

    The allowance is there for tasks that still count.
    """
    past = datetime.now(UTC) - timedelta(seconds=5)
    for _ in range(2 * LIMIT):
        app.send_task("jobs.call", [str(scratch / "late")], expires=past, ignore_result=True)
    result_of(app.send_task("jobs.call", [str(scratch / "calls")]))
    assert not calls(scratch / "late")
    assert Ledgers(load(suite.etc))["provider"].counts().admitted == 1


def test_the_worker_sleeps_until_all_slots_of_a_cost_are_free(suite: Suite, scratch: Path) -> None:
    """With a cost of 2 of 2 slots and one in use the queue is not taken up again and again."""
    suite.write(INI.format(cost=2, concurrency=1))
    app, path = make_app(load(suite.etc)), scratch / "calls"
    with suite.running("worker", "a"):
        for _ in range(3):
            app.send_task("jobs.call", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) == 3, what="every call")
    assert worst(calls(path), WINDOW) == 1
    assert Ledgers(load(suite.etc))["provider"].counts().refused < 40


@pytest.mark.usefixtures("worker")
def test_no_argument_reaches_the_log(app: Any, suite: Suite) -> None:
    """Also not by the words of Celery's own errors."""
    failed = app.send_task("jobs.secret", ["S3CRET"])
    result_of(failed, propagate=False)
    until(lambda: suite.logged("worker", "task_failed", task_id=failed.id))
    assert "S3CRET" not in (suite.directory / "log" / "worker.log").read_text(encoding="utf-8")


def test_a_schedule_entry_that_cannot_be_sent_stops_no_other(suite: Suite) -> None:
    """Its ticks are left out and logged; beat lives and sends those of the other entries."""
    bad = "[schedule:bad]\ntask = jobs.add\nargs = [1]\nevery = 1s\n"
    suite.write(
        INI.format(cost=1, concurrency=1)
        + bad
        + "[schedule:good]\ntask = jobs.add\nargs = [1, 2]\nevery = 1s\n"
    )
    with suite.running("beat") as beat:
        until(
            lambda: len(suite.logged("beat", "tick_sent", entry="good")) >= 2,
            what="ticks of the good entry",
        )
        suite.await_event("beat", "tick_failed", entry="bad")
        assert beat.poll() is None


def test_a_daemon_started_by_hand_outlives_its_shell(suite: Suite) -> None:
    """Only a supervisor's end is a daemon's end."""
    script = f"nohup {WARREN} --config {suite.etc} quota-watchdog >/dev/null 2>&1 &"
    run_to_end(["bash", "-c", script], env=ENVIRONMENT, check=True)
    beat = until(lambda: suite.heartbeat("quota-watchdog"), what="a heartbeat") or {}
    daemon = Process(beat["pid"], beat["start"])
    try:
        until(
            lambda: (suite.heartbeat("quota-watchdog") or beat)["at"] > beat["at"] + 3,
            what="beats after the shell has ended",
        )
        assert daemon.alive
    finally:
        os.kill(daemon.pid, 15)
        until(lambda: not daemon.alive, what="the end")
