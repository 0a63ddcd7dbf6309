"""Receivers of Celery's signals that leave their process or hang.

A task module connects them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.suite import Suite
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

TASKS = """
@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.hang", time_limit=0.2)
def hang():
    time.sleep(1000)
"""
LEAVING = """
import os, sys, time
from celery import shared_task, signals

WORKER = os.getpid()

def leave(signal=None, **_):
    if os.getpid() == WORKER or signal.name == "worker_process_init":
        sys.exit(3)

class Receiver:
    def leave(self, signal=None, **_):
        leave(signal)

bound = Receiver()
for name in ("task_received", "task_failure", "task_revoked", "task_unknown", "task_rejected",
             "heartbeat_sent", "worker_init", "worker_ready", "worker_process_init",
             "worker_before_create_process", "setup_logging"):
    getattr(signals, name).connect(leave)
    getattr(signals, name).connect(bound.leave, dispatch_uid=name)
"""


#: Those that the worker's own process calls, and one of its children.
LEFT = {"task_received", "task_failure", "task_revoked", "worker_init", "worker_process_init"}


def test_receivers_that_leave_do_not_end_the_worker(scratch: Path) -> None:
    """Each is logged, tasks run, and Warren's own line of each end is there.

    The process is the same all the time.
    """
    suite = Suite(scratch, "[worker:a]\nconcurrency = 2\n", modules="jobs")
    suite.module("jobs", LEAVING + TASKS)
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        app = make_app(load(suite.etc))
        hung = app.send_task("jobs.hang")
        expired = app.send_task(
            "jobs.add", [1, 1], expires=datetime.now(UTC) - timedelta(minutes=1)
        )
        assert [result_of(app.send_task("jobs.add", [1, each])) for each in range(4)] == [
            1,
            2,
            3,
            4,
        ]
        suite.await_event("worker", "task_failed", task_id=hung.id)
        suite.await_event("worker", "task_revoked", task_id=expired.id)
        until(lambda: told(suite) >= LEFT, what="a line for each")
        assert worker.poll() is None
    assert {line["pid"] for line in suite.logged("worker", "started")} == {worker.pid}


HANGING = """
import os, socket, time
from celery import shared_task, signals

WORKER = os.getpid()
ours, theirs = socket.socketpair()

@signals.task_received.connect
def sleeps(**_):
    time.sleep(1000)

@signals.task_received.connect
def retries(**_):
    while True:
        try:
            ours.recv(1)
        except BaseException:
            if not os.path.exists("tried"):
                open("tried", "w").close()
                continue
            raise

@signals.task_failure.connect
def counts(**_):
    while os.getpid() == WORKER:
        pass

@signals.task_revoked.connect
def once(**_):
    if not os.path.exists("revoked"):
        open("revoked", "w").close()
        time.sleep(1000)
    open("revoked-again", "w").close()
"""


def test_receivers_that_hang_do_not_stop_the_worker(scratch: Path) -> None:
    """Each is ended and logged, three times in a row at most.

    A receiver that hung once is called again; the process stays the same.
    """
    suite = Suite(scratch, "[worker:a]\nconcurrency = 2\n", modules="jobs")
    suite.module("jobs", f"import os\nos.chdir({str(scratch)!r})\n{HANGING}{TASKS}")
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        app = make_app(load(suite.etc))
        hung = app.send_task("jobs.hang")
        past = datetime.now(UTC) - timedelta(minutes=1)
        expired = [app.send_task("jobs.add", [1, 1], expires=past) for _ in range(2)]
        assert [result_of(app.send_task("jobs.add", [1, each])) for each in range(4)] == [
            1,
            2,
            3,
            4,
        ]
        suite.await_event("worker", "task_failed", task_id=hung.id)
        for each in expired:
            suite.await_event("worker", "task_revoked", task_id=each.id)
        until(lambda: (scratch / "revoked-again").exists(), what="the receiver that hung once")
        until(
            lambda: told(suite) >= {"task_received", "task_failure", "task_revoked"},
            what="a line for each",
        )
        assert worker.poll() is None
    assert {line["pid"] for line in suite.logged("worker", "started")} == {worker.pid}
    lines = [line["reason"].split()[1] for line in suite.logged("worker", "callbacks_failed")]
    assert [lines.count(name) for name in ("sleeps", "retries", "counts")] == [3, 3, 1]


def told(suite: Suite) -> set[str]:
    """What was said of receivers."""
    return {line["reason"].partition(":")[0] for line in suite.logged("worker", "callbacks_failed")}
