"""What follows an end that the worker itself reports: error callbacks, chains and chords.

The ends are a time limit and a lost process.
"""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kombu import Exchange

from support.suite import Suite
from support.wait import end_of, result_of, until

JOBS = """
import os, sys, time
from pathlib import Path
from celery import Task, shared_task
from celery.signals import worker_process_init

@worker_process_init.connect
def begin_late(**_):
    held, end = Path(__file__).with_name("hold"), time.monotonic() + 3
    while held.exists() and time.monotonic() < end:
        time.sleep(0.02)

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

class Raising(Task):
    def on_failure(self, *_, **__):
        raise SystemExit(3)

class Hooked(Task):
    def on_failure(self, error, task_id, args, kwargs, info):
        with open(kwargs["path"], "a") as file:
            file.write(f"{os.getpid()} on_failure {type(error).__name__} {bool(info.traceback)}\\n")
        exec(args[0])

    def after_return(self, state, error, task_id, args, kwargs, info):
        with open(kwargs["path"], "a") as file:
            file.write(f"{os.getpid()} after_return {type(error).__name__} {state}\\n")

@shared_task(name="jobs.hang_with_hooks", base=Hooked)
def hang_with_hooks(code, path):
    time.sleep(1000)

@shared_task(name="jobs.hang")
def hang():
    time.sleep(1000)

@shared_task(name="jobs.hang_early", acks_late=False)
def hang_early():
    time.sleep(1000)

@shared_task(name="jobs.early", acks_late=False)
def early():
    time.sleep(1000)

@shared_task(name="jobs.hang_and_raise", base=Raising)
def hang_and_raise():
    time.sleep(1000)

@shared_task(name="jobs.leave")
def leave():
    sys.exit(3)

@shared_task(name="jobs.failed")
def failed(request, error, traceback, path, then):
    with open(path, "a") as file:
        file.write(f"{os.getpid()} {request.id} {type(error).__name__}\\\\n")
    if then == "exit":
        sys.exit(3)
    if then == "hang":
        time.sleep(1000)
""".replace("\\\\n", "\\n")
INI = "[worker:a]\nconcurrency = 2\nprefetch = 2\n"
#: More than the worker has places for.
MANY = 8


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker on the embedded broker."""
    made = Suite(scratch, INI, modules="jobs")
    made.module("jobs", JOBS)
    return made


def send(
    app: Any, task: str, task_id: str, embed: dict[str, Any], *arguments: Any, **keywords: Any
) -> None:
    """Send a task with these callbacks, as a client may write them.

    It has a time limit if it would hang.
    """
    limit = 0.2 if task.startswith("jobs.hang") else None
    headers = {"task": task, "id": task_id, "timelimit": [limit, None], "group": "g"}
    with app.connection_for_write() as connection:
        producer = connection.Producer(exchange=Exchange("warren", "topic"), routing_key="default")
        body = json.dumps([arguments, keywords, embed])
        producer.publish(
            body, headers=headers, content_type="application/json", content_encoding="utf-8"
        )


def test_callbacks_that_are_none_keep_no_place(worker: Any, app: Any, suite: Suite) -> None:
    """Each such task has failed with its line, and is acknowledged.

    The worker runs the next tasks, though there were more than it may hold.
    """
    foul: list[Any] = [
        {"errbacks": [{"task": 5}]},
        {"chain": [{"options": 5}]},
        {"chord": {"task": "jobs.add", "options": 5}},
    ]
    for number, embed in enumerate(foul * MANY):
        send(app, "jobs.hang", f"foul-{number}", embed)
    for number in range(len(foul) * MANY):
        suite.await_event("worker", "task_failed", task_id=f"foul-{number}")
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    # load: acknowledged when a pool child has done with it
    until(
        lambda: not list((suite.directory / "state/broker/unacked").rglob("*/default/*")),
        what="every message answered",
    )
    assert suite.logged("worker", "callbacks_failed")
    assert worker.poll() is None


@pytest.mark.parametrize("then", ["return", "exit", "hang"])
@pytest.mark.parametrize("task", ["jobs.hang", "jobs.leave"])
def test_an_error_callback_runs_in_a_pool_child(
    worker: Any, app: Any, suite: Suite, scratch: Path, task: str, then: str
) -> None:
    """Never in the worker's own process, which one that exits or hangs would stop."""
    path = scratch / "called"
    link = {
        "task": "jobs.failed",
        "args": [],
        "kwargs": {"path": str(path), "then": then},
        "options": {},
    }
    send(app, task, "x", {"errbacks": [link]})
    [said] = until(
        lambda: path.read_text().splitlines() if path.exists() else [], what="the error callback"
    )
    pid, task_id, error = said.split()
    assert task_id == "x"
    assert error == ("TimeLimitExceeded" if task == "jobs.hang" else "WorkerLostError")
    assert int(pid) != worker.pid
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None
    os.kill(worker.pid, 0)


def test_a_task_whose_own_word_at_its_failure_raises_keeps_no_place(
    worker: Any, app: Any, suite: Suite
) -> None:
    """Also where it is `SystemExit`, and in more tasks than the worker may hold."""
    for number in range(MANY):
        send(app, "jobs.hang_and_raise", f"own-{number}", {})
    for number in range(MANY):
        suite.await_event("worker", "callbacks_failed", task_id=f"own-{number}")
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None


#: What a task's own `on_failure` may do, and whether `after_return` comes behind it.
HOOKS = {
    "return": ("pass", True),
    "raise": ("raise ValueError", True),
    "exit": ("sys.exit(3)", False),
    "leave": ("os._exit(3)", False),
    "kill": ("os.kill(os.getpid(), 9)", False),
    "hang": ("time.sleep(1000)", False),
}


def test_a_task_s_own_hooks_at_its_limit_run_in_a_pool_child(
    worker: Any, app: Any, suite: Suite, scratch: Path
) -> None:
    """Never in the worker's own process.

    One that hangs has as long as the task had; the task has failed all the same.
    """
    for name, (code, _) in HOOKS.items():
        send(app, "jobs.hang_with_hooks", name, {}, code, path=str(scratch / name))
    for name, (code, returns) in HOOKS.items():
        suite.await_event("worker", "task_failed", task_id=name)
        if code != "pass":
            suite.await_event("worker", "callbacks_failed", task_id=name)
        expected = ["on_failure TimeLimitExceeded True"] + [
            "after_return TimeLimitExceeded FAILURE"
        ] * returns
        said = until(partial(lines, scratch / name, len(expected)), what=name)
        assert [line.partition(" ")[2] for line in said] == expected
        assert str(worker.pid) not in {line.partition(" ")[0] for line in said}
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None


@pytest.mark.parametrize("task", ["jobs.hang", "jobs.hang_early"])
def test_a_stop_waits_for_what_follows_a_task(
    app: Any, suite: Suite, scratch: Path, task: str
) -> None:
    """A task is over its limit, and the worker is told to stop.

    No pool child is there for the error callback yet.
    """
    path = scratch / "called"
    link = {
        "task": "jobs.failed",
        "args": [],
        "kwargs": {"path": str(path), "then": "return"},
        "options": {},
    }
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        # the child in the place of the one that is ended
        (suite.directory / "app" / "hold").touch()
        send(app, task, "x", {"errbacks": [link]})
        suite.await_event("worker", "task_failed", task_id="x")
        worker.send_signal(signal.SIGTERM)
        suite.await_event("worker", "stopping")
        (suite.directory / "app" / "hold").unlink()
        assert end_of(worker) == 0
    assert [line.partition(" ")[2] for line in path.read_text().splitlines()] == [
        "x TimeLimitExceeded"
    ]
    assert len(suite.logged("worker", "task_started", task_id="x")) == 1
    assert not list((suite.directory / "state/broker").rglob("*/default/*"))
    assert not suite.logged("worker", "callbacks_failed")


@pytest.mark.parametrize("running", [False, True])
def test_what_a_stop_cuts_off_is_told(app: Any, suite: Suite, scratch: Path, running: bool) -> None:
    """At a stop without time, a task that was acknowledged before has its result.

    A line says what was not called.
    """
    path = scratch / "called"
    link = {
        "task": "jobs.failed",
        "args": [],
        "kwargs": {"path": str(path), "then": "hang"},
        "options": {},
    }
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        send(app, "jobs.hang_early" if running else "jobs.early", "x", {"errbacks": [link]})
        if running:  # the error callback
            until(path.exists, what="the error callback")
        else:
            suite.await_event("worker", "task_started", task_id="x")
        worker.send_signal(signal.SIGQUIT)
        assert end_of(worker) == 0
    assert app.AsyncResult("x").state == "FAILURE"
    told = [line["event"] for line in suite.log("worker") if line.get("task_id") == "x"]
    # The process of an error callback at work tells of it, too, when it is ended.
    assert list(dict.fromkeys(told)) == ["task_started", "task_failed", "callbacks_failed"]


def test_a_task_that_died_with_its_worker_and_does_not_come_again_has_failed(
    app: Any, suite: Suite
) -> None:
    """It was acknowledged before it ran: its line and its result say so.

    No line calls it requeued.
    """
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        send(app, "jobs.early", "x", {})
        suite.await_event("worker", "task_started", task_id="x")
        worker.kill()
        end_of(worker)
    with suite.running("worker", "a"):
        assert suite.await_event("worker", "task_failed", task_id="x")["queue"] == "default"
        until(lambda: app.AsyncResult("x").state == "FAILURE", what="its result")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    told = [line["event"] for line in suite.log("worker") if line.get("task_id") == "x"]
    assert told == ["task_started", "task_failed"]


def lines(path: Path, least: int) -> list[str]:
    """Return the lines of a file once there are so many, else none."""
    found = path.read_text().splitlines() if path.exists() else []
    return found if len(found) >= least else []
