"""What follows an end that the worker itself tells: error callbacks, chains and chords, by a time limit and by a lost process."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kombu import Exchange

from support.suite import Suite
from support.wait import result_of, until

JOBS = """
import os, sys, time
from celery import Task, shared_task

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


def send(app: Any, task: str, task_id: str, embed: dict[str, Any], *arguments: Any, **keywords: Any) -> None:
    """Send a task with these callbacks, as a client may write them, and with a time limit if it would hang."""
    limit = 0.2 if task.startswith("jobs.hang") else None
    headers = {"task": task, "id": task_id, "timelimit": [limit, None], "group": "g"}
    with app.connection_for_write() as connection:
        producer = connection.Producer(exchange=Exchange("warren", "topic"), routing_key="default")
        body = json.dumps([arguments, keywords, embed])
        producer.publish(body, headers=headers, content_type="application/json", content_encoding="utf-8")


def test_callbacks_that_are_none_keep_no_place(worker: Any, app: Any, suite: Suite) -> None:
    """Each such task has failed with its line, and is acknowledged: the worker runs what comes after more than it may hold."""
    foul: list[Any] = [{"errbacks": [{"task": 5}]}, {"chain": [{"options": 5}]}, {"chord": {"task": "jobs.add", "options": 5}}]
    for number, embed in enumerate(foul * MANY):
        send(app, "jobs.hang", f"foul-{number}", embed)
    for number in range(len(foul) * MANY):
        suite.await_event("worker", "task_failed", task_id=f"foul-{number}")
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    # load: acknowledged when a pool child has done with it
    until(lambda: not list((suite.folder / "state/broker/unacked").rglob("*/default/*")), what="every message answered")
    assert suite.logged("worker", "callbacks_failed")
    assert worker.poll() is None


@pytest.mark.parametrize("then", ["return", "exit", "hang"])
@pytest.mark.parametrize("task", ["jobs.hang", "jobs.leave"])
def test_an_error_callback_runs_in_a_pool_child(worker: Any, app: Any, suite: Suite, scratch: Path, task: str, then: str) -> None:
    """Never in the worker's own process, which one that exits or hangs would stop."""
    path = scratch / "called"
    link = {"task": "jobs.failed", "args": [], "kwargs": {"path": str(path), "then": then}, "options": {}}
    send(app, task, "x", {"errbacks": [link]})
    [said] = until(lambda: path.read_text().splitlines() if path.exists() else [], what="the error callback")
    pid, task_id, error = said.split()
    assert task_id == "x"
    assert error == ("TimeLimitExceeded" if task == "jobs.hang" else "WorkerLostError")
    assert int(pid) != worker.pid
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None
    os.kill(worker.pid, 0)


def test_a_task_whose_own_word_at_its_failure_raises_keeps_no_place(worker: Any, app: Any, suite: Suite) -> None:
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


def test_a_task_s_own_hooks_at_its_limit_run_in_a_pool_child(worker: Any, app: Any, suite: Suite, scratch: Path) -> None:
    """Never in the worker's own process. One that hangs has as long as the task had; the task has failed all the same."""
    for name, (code, _) in HOOKS.items():
        send(app, "jobs.hang_with_hooks", name, {}, code, path=str(scratch / name))
    for name, (code, returns) in HOOKS.items():
        suite.await_event("worker", "task_failed", task_id=name)
        if code != "pass":
            suite.await_event("worker", "callbacks_failed", task_id=name)
        expected = ["on_failure TimeLimitExceeded True"] + ["after_return TimeLimitExceeded FAILURE"] * returns
        said = until(partial(lines, scratch / name, len(expected)), what=name)
        assert [line.partition(" ")[2] for line in said] == expected
        assert str(worker.pid) not in {line.partition(" ")[0] for line in said}
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None


def lines(path: Path, least: int) -> list[str]:
    """Return the lines of a file once there are so many, else none."""
    found = path.read_text().splitlines() if path.exists() else []
    return found if len(found) >= least else []
