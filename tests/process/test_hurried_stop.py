"""A hurried stop: SIGQUIT, or Ctrl-C twice in a terminal.

No task is lost, and the worker ends cleanly.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from support.suite import Suite
from support.wait import end_of, result_of, until
from warren.app.factory import make_app
from warren.config import load

INI = "[worker:a]\nconcurrency = 2\nstop_timeout = 10m\n"
JOBS = """
import os, time
from celery import shared_task

def wait(path):
    while not os.path.exists(path):
        time.sleep(0.05)
    return "done"

late = shared_task(name="jobs.wait")(wait)
early = shared_task(name="jobs.early", acks_late=False)(wait)
"""


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker whose stop may take ten minutes."""
    made = Suite(scratch, INI, modules="jobs")
    made.module("jobs", JOBS)
    return made


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT), (signal.SIGQUIT,)]
)
def test_what_runs_goes_back_and_the_worker_ends(
    suite: Suite, scratch: Path, signals: tuple[signal.Signals, ...]
) -> None:
    """The worker ends with 0 long before stop_timeout.

    Its tasks run again at the next start, and count no crash.
    """
    app = make_app(load(suite.etc))
    sent = [app.send_task("jobs.wait", [str(scratch / "go")]) for _ in range(3)]
    with suite.running("worker", "a") as worker:
        until(lambda: len(suite.logged("worker", "task_started")) == 2, what="two tasks at work")
        for number, each in enumerate(signals):
            worker.send_signal(each)
            until(lambda: suite.logged("worker", "stopping"), what="a stop")
            if number < len(signals) - 1:
                assert worker.poll() is None
        assert end_of(worker) == 0
    assert len(suite.logged("worker", "task_requeued")) == 2
    assert suite.logged("worker", "stopping")[-1]["timeout_s"] == 0
    assert suite.logged("worker", "stopped", exit_code=0)
    (scratch / "go").touch()
    with suite.running("worker", "a"):
        assert [result_of(each) for each in sent] == ["done"] * 3
    assert not [line for line in suite.logged("worker", "task_requeued") if "crashes" in line]


def test_what_was_acknowledged_before_it_ran_has_failed(suite: Suite, scratch: Path) -> None:
    """No broker has its message any more, and its line and its result say so.

    No line calls it requeued or tried again.
    """
    app = make_app(load(suite.etc))
    sent = app.send_task("jobs.early", [str(scratch / "go")])
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "task_started", task_id=sent.id)
        worker.send_signal(signal.SIGQUIT)
        assert end_of(worker) == 0
    told = [line["event"] for line in suite.log("worker") if line.get("task_id") == sent.id]
    assert told == ["task_started", "task_failed"]
    assert sent.state == "FAILURE"


def test_under_a_supervisor_a_second_sigint_hurries_nothing(suite: Suite, scratch: Path) -> None:
    """There stop_timeout is the operator's word: what runs ends as it would."""
    app = make_app(load(suite.etc))
    sent = app.send_task("jobs.wait", [str(scratch / "go")])
    with suite.running("worker", "a", SUPERVISOR_ENABLED="1") as worker:
        until(lambda: suite.logged("worker", "task_started"), what="a task at work")
        for _ in range(3):
            os.kill(worker.pid, signal.SIGINT)
            until(lambda: suite.logged("worker", "stopping"), what="a stop")
        assert worker.poll() is None
        (scratch / "go").touch()
        assert end_of(worker) == 0
    assert result_of(sent) == "done"
    assert not suite.logged("worker", "task_requeued")
