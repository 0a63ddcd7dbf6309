"""The life of a worker as a process: how it ends, what its signals mean, what it logs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from support.servers import free_port, redis_server_at
from support.suite import Suite, children
from support.supervised import one_line_supervisor
from support.wait import end_of, result_of, until
from warren.app.factory import make_app
from warren.config import load
from warren.system.process import process_of

JOBS = '''
import logging, os, signal, time
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    logging.getLogger("jobs").info("adding")
    return a + b

@shared_task(name="jobs.wait", bind=True)
def wait(self, directory, seconds):
    """Says that it began, then waits for a file named go, or so many seconds."""
    open(f"{directory}/began-{self.request.id}", "a").write(f"{os.getpid()}\\n")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not os.path.exists(f"{directory}/go"):
        time.sleep(0.02)
    return "done"

@shared_task(name="jobs.fail", bind=True, max_retries=2)
def fail(self):
    try:
        raise ValueError("no luck")
    except ValueError as error:
        raise self.retry(exc=error, countdown=0.1)
'''

INI = "[worker:a]\nconcurrency = 2\nstop_timeout = {stop}s\n"


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker on the embedded broker."""
    made = Suite(scratch, INI.format(stop=300), modules="jobs")
    made.module("jobs", JOBS)
    return made


def began(directory: Path, task_id: str) -> list[int]:
    """The processes in which the task began, in order."""
    path = directory / f"began-{task_id}"
    return [int(line) for line in path.read_text(encoding="ascii").split()] if path.exists() else []


def test_asked_to_stop_it_lets_running_tasks_finish(
    worker: Any, app: Any, suite: Suite, scratch: Path
) -> None:
    """At SIGTERM the running task ends well and the waiting ones stay with the broker.

    The exit code is 0.
    """
    first = app.send_task("jobs.wait", [str(scratch), 600])
    until(lambda: began(scratch, first.id), what="the task to begin")
    worker.send_signal(signal.SIGTERM)
    suite.await_event("worker", "stopping", reason="asked to stop")
    waiting = app.send_task("jobs.add", [1, 2])
    (scratch / "go").touch()
    assert end_of(worker) == 0
    assert result_of(first) == "done"
    assert suite.logged("worker", "stopped", exit_code=0)
    with suite.running("worker", "a"):
        assert result_of(waiting) == 3


def test_what_does_not_finish_in_time_goes_back(suite: Suite, app: Any, scratch: Path) -> None:
    """After stop_timeout the unfinished task is handed back, logged, and run by the next worker."""
    suite.write(INI.format(stop=1))
    with suite.running("worker", "a") as worker:
        result = app.send_task("jobs.wait", [str(scratch), 600])
        until(lambda: began(scratch, result.id), what="the task to begin")
        worker.send_signal(signal.SIGTERM)
        assert end_of(worker) == 0
    assert suite.logged("worker", "task_requeued", task_id=result.id)
    (scratch / "go").touch()
    with suite.running("worker", "a"):
        assert result_of(result) == "done"
    assert len(began(scratch, result.id)) == 2
    # an end in order counts as no loss
    assert len(suite.logged("worker", "task_requeued", task_id=result.id)) == 1


def test_a_killed_child_costs_no_task(worker: Any, app: Any, scratch: Path) -> None:
    """kill -9 of the child that runs a task: the task runs again in another child."""
    result = app.send_task("jobs.wait", [str(scratch), 600])
    (child,) = until(lambda: began(scratch, result.id), what="the task to begin")
    os.kill(child, signal.SIGKILL)
    until(lambda: len(began(scratch, result.id)) == 2, what="the task to begin again")
    (scratch / "go").touch()
    assert result_of(result) == "done"
    assert worker.poll() is None


def test_children_end_with_a_killed_worker(worker: Any, app: Any, scratch: Path) -> None:
    """kill -9 of the worker: no child is left that could still make a call."""
    result = app.send_task("jobs.wait", [str(scratch), 600])
    until(lambda: began(scratch, result.id), what="the task to begin")
    family = [found for found in map(process_of, children(worker.pid)) if found]
    assert len(family) >= 2
    worker.kill()
    worker.wait()
    until(lambda: not any(child.alive for child in family), what="the children to end")


def test_a_worker_whose_supervisor_vanished_ends(suite: Suite, app: Any, scratch: Path) -> None:
    """It hands back what it has not finished and ends at once, and its successor runs it."""
    with one_line_supervisor(suite, "worker", "a") as supervisor:
        suite.await_event("worker", "ready")
        (pid,) = children(supervisor.pid)
        orphan = process_of(pid)
        assert orphan is not None
        result = app.send_task("jobs.wait", [str(scratch), 600])
        until(lambda: began(scratch, result.id), what="the task to begin")
        supervisor.kill()
        supervisor.wait()
        # it starts while the orphan may still be there, and waits for it
        with suite.running("worker", "a"):
            until(lambda: not orphan.alive, what="the orphan to end")
            suite.await_event("worker", "supervisor_lost")
            (scratch / "go").touch()
            assert result_of(result) == "done"
    assert suite.logged("worker", "task_requeued", task_id=result.id)


def test_an_edit_that_concerns_it_starts_it_again(worker: Any, app: Any, suite: Suite) -> None:
    """SIGHUP with the same settings changes nothing; other settings drain the worker.

    It ends with the code that has it started again.
    """
    worker.send_signal(signal.SIGHUP)
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None
    suite.write(INI.format(stop=300).replace("concurrency = 2", "concurrency = 1"))
    worker.send_signal(signal.SIGHUP)
    assert end_of(worker) == 75
    assert suite.logged("worker", "reloaded")


def test_an_edit_reaches_a_worker_without_a_broker(suite: Suite) -> None:
    """SIGHUP while the old settings' broker is away ends the worker.

    Its code has it started on the new broker.
    """
    suite.write(f"[broker]\nurl = redis://127.0.0.1:{free_port()}/0\n" + INI.format(stop=300))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "broker_unreachable")
        suite.write(INI.format(stop=300))
        worker.send_signal(signal.SIGHUP)
        assert end_of(worker) == 75


def test_asked_to_stop_without_a_broker_it_ends(suite: Suite) -> None:
    """SIGTERM while the broker is away: there is nothing to hand back, and the exit code is 0."""
    suite.write(f"[broker]\nurl = redis://127.0.0.1:{free_port()}/0\n" + INI.format(stop=300))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "broker_unreachable")
        worker.send_signal(signal.SIGTERM)
        assert end_of(worker) == 0


def test_its_stop_timeout_holds_without_a_broker(suite: Suite, scratch: Path) -> None:
    """The broker goes away under a running task, and the worker is asked to stop.

    It gives the task its time, then ends with code 0.
    """
    port, password = free_port(), "of-the-test"
    suite.write(f"[broker]\nurl = redis://:{password}@127.0.0.1:{port}/0\n" + INI.format(stop=2))
    with suite.running("worker", "a") as worker:
        with redis_server_at(scratch, port, password):
            result = make_app(load(suite.etc)).send_task("jobs.wait", [str(scratch), 600])
            (child,) = until(lambda: began(scratch, result.id), what="the task to begin")
        suite.await_event("worker", "broker_unreachable")
        assert process_of(child) is not None
        worker.send_signal(signal.SIGTERM)
        assert end_of(worker) == 0
        assert process_of(child) is None
    assert suite.logged("worker", "task_requeued", task_id=result.id)


def test_it_says_what_it_is_doing(worker: Any, app: Any, suite: Suite, scratch: Path) -> None:
    """SIGUSR1: one line names the running tasks and shows the stack of the main thread."""
    result = app.send_task("jobs.wait", [str(scratch), 600])
    until(lambda: began(scratch, result.id), what="the task to begin")
    worker.send_signal(signal.SIGUSR1)
    line = suite.await_event("worker", "state_dumped")
    assert line["running"] == [result.id]
    assert "MainThread" in line["stacks"]
    (scratch / "go").touch()


@pytest.mark.usefixtures("worker")
def test_each_end_of_a_task_is_one_line(app: Any, suite: Suite) -> None:
    """Each of succeeded, retried and failed is one line with the task's fields.

    It comes after a line of the beginning, and has no arguments.
    """
    before = time.monotonic()
    good = app.send_task("jobs.add", [11, 31])
    bad = app.send_task("jobs.fail")
    assert result_of(good) == 42
    assert isinstance(result_of(bad, propagate=False), ValueError)
    # its result may be there before its line
    line = suite.await_event("worker", "task_succeeded", task_id=good.id)
    passed = time.monotonic() - before
    assert len(suite.logged("worker", "task_succeeded", task_id=good.id)) == 1
    assert {
        "task": "jobs.add",
        "queue": "default",
        "attempt": 1,
        "root_id": good.id,
    }.items() <= line.items()
    assert line["waited_s"] >= 0
    assert line["ran_s"] >= 0
    assert line["waited_s"] + line["ran_s"] <= passed + 0.01  # rounded
    (begun,) = suite.logged("worker", "task_started", task_id=good.id)
    assert {
        name: begun[name] for name in ("task", "queue", "attempt", "root_id", "pid", "waited_s")
    } == {name: line[name] for name in ("task", "queue", "attempt", "root_id", "pid", "waited_s")}
    assert "ran_s" not in begun
    (own,) = [line for line in suite.log("worker") if line.get("logger") == "jobs"]
    assert (own["message"], own["task_id"]) == ("adding", good.id)
    failed = until(lambda: suite.logged("worker", "task_failed", task_id=bad.id))
    retried = suite.logged("worker", "task_retried", task_id=bad.id)
    assert [line["attempt"] for line in retried] == [1, 2]
    assert [line["attempt"] for line in suite.logged("worker", "task_started", task_id=bad.id)] == [
        1,
        2,
        3,
    ]
    assert [line["attempt"] for line in failed] == [3]
    assert "no luck" in failed[0]["reason"]
    assert not [line for line in suite.log("worker") if "31" in str(line.get("args", ""))]


def test_a_second_worker_of_one_name_is_refused(worker: Any, suite: Suite) -> None:
    """It ends with 76 and names the one that runs, which continues."""
    ended = suite.warren("worker", "a")
    assert ended.returncode == 76
    assert str(worker.pid) in ended.stderr
    assert worker.poll() is None


def test_an_unknown_worker_is_refused(suite: Suite) -> None:
    """The name of a worker that no section has ends with 78 and the names that there are."""
    ended = suite.warren("worker", "b")
    assert ended.returncode == 78
    assert "[worker:b]" in ended.stderr
    assert "only: a" in ended.stderr
