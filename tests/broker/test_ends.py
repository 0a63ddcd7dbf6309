"""How a task ends, on every broker: each end is one line of the worker's log.

The line has the task, its queue and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from support.brokers import KINDS, own_section
from support.suite import Suite
from support.wait import let_pass, result_of, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
import os, time
from celery import shared_task
from celery.exceptions import Ignore, Reject

@shared_task(name="jobs.act", bind=True, max_retries=1)
def act(self, code):
    exec(code, {**globals(), "self": self})

@shared_task(name="jobs.early", bind=True, acks_late=False)
def early(self, code):
    exec(code, {**globals(), "self": self})

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""
INI = """
[queue:side]
[worker:a]
queues = default, side
concurrency = 4
prefetch = 4
remote_control = true
"""
#: Events of which each tells that a task will not run again.
ENDS = ("task_succeeded", "task_failed", "task_ignored", "task_revoked", "message_rejected")
#: The same, and those that tell of an attempt which is over.
TOLD = (*ENDS, "task_retried", "task_requeued")


class End(NamedTuple):
    """A task's action, the lines of its attempts and of its end, and parts of the last reason."""

    code: str
    lines: tuple[str, ...]
    reason: str = ""
    name: str = "jobs.act"
    options: dict[str, Any] = {}  # noqa: RUF012


LOST = ("task_requeued",) * 4
MATRIX = {
    "succeeded": End("pass", ("task_succeeded",)),
    "succeeded, due soon": End("pass", ("task_succeeded",), options={"countdown": 0.5}),
    "failed": End("1/0", ("task_failed",), "ZeroDivisionError"),
    "failed, in a queue that its call named": End(
        "1/0", ("task_failed",), "ZeroDivisionError", options={"queue": "side"}
    ),
    "tried again, then succeeded": End(
        "if not self.request.retries: raise self.retry(countdown=0.1)",
        ("task_retried", "task_succeeded"),
        "Retry",
    ),
    "tried again, then failed": End(
        "raise self.retry(exc=ValueError(7), countdown=0)", ("task_retried", "task_failed"), "7"
    ),
    "ignored": End("raise Ignore('nothing to do')", ("task_ignored",), "nothing to do"),
    "replaced": End(
        "raise self.replace(self.app.signature('jobs.add', (1, 2)))",
        ("task_ignored", "task_succeeded"),
        "Replaced",
    ),
    "rejected": End("raise Reject('unfit')", ("task_failed",), "unfit"),
    "rejected, acknowledged before": End(
        "raise Reject('unfit')", ("task_failed",), "unfit", "jobs.early"
    ),
    "to be requeued, and acknowledged before": End(
        "raise Reject('later', requeue=True)", ("task_failed",), "later", "jobs.early"
    ),
    "given up": End("os._exit(3)", (*LOST, "task_failed"), "WorkerLostError"),
    "given up, left by an exception": End(
        "raise SystemExit(3)", (*LOST, "task_failed"), "WorkerLostError"
    ),
    "lost, acknowledged before": End(
        "os._exit(3)", ("task_failed",), "WorkerLostError", "jobs.early"
    ),
    "hard limit": End(
        "time.sleep(100)", ("task_failed",), "TimeLimitExceeded", options={"time_limit": 1}
    ),
    "soft limit": End(
        "time.sleep(100)", ("task_failed",), "SoftTimeLimitExceeded", options={"soft_time_limit": 1}
    ),
    "unknown": End("", ("message_rejected",), "expected a task of this worker", "jobs.nobody"),
}


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Suite, Any]]:
    """One worker for all of them, on a broker of the test's own."""
    with TemporaryDirectory(prefix="warren-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        broker = own_section(request, Path(directory), 14) + "unknown_task_timeout = 0s\n"
        suite = Suite(Path(directory), broker + INI, modules="jobs")
        suite.module("jobs", JOBS)
        with suite.running("worker", "a"):
            suite.await_event("worker", "ready")
            yield suite, make_app(load(suite.etc))


def told(suite: Suite, task_id: str) -> list[dict[str, Any]]:
    """Return the lines of a task's attempts and of its end."""
    return [
        line
        for line in suite.log("worker")
        if line.get("task_id") == task_id and line["event"] in TOLD
    ]


def test_each_end_is_one_line(running: tuple[Suite, Any]) -> None:
    """Whatever ends a task, its last line says so once, and names task and queue.

    It gives a reason where the task did not succeed.
    """
    suite, app = running
    sent = {
        name: app.send_task(end.name, [end.code], **end.options).id for name, end in MATRIX.items()
    }
    soon = datetime.now(UTC) + timedelta(seconds=0.9)
    assert result_of(app.send_task("jobs.add", [1, 2], eta=soon)) == 3
    assert datetime.now(UTC) >= soon
    for name, end in MATRIX.items():
        until(
            lambda name=name, end=end: len(told(suite, sent[name])) >= len(end.lines),  # type: ignore[misc]
            what=f"the lines of: {name}",
        )
    settled(suite, app)
    assert {name: tuple(line["event"] for line in told(suite, sent[name])) for name in MATRIX} == {
        name: end.lines for name, end in MATRIX.items()
    }
    for name, end in MATRIX.items():
        for line in told(suite, sent[name]):
            assert line["queue"] == end.options.get("queue", "default"), (name, line)
            assert line["task"] in (end.name, "jobs.add"), (name, line)
            assert line["event"] == "task_succeeded" or line["reason"], (name, line)
        with_reason = [
            line for line in told(suite, sent[name]) if line["event"] != "task_succeeded"
        ]
        assert not end.reason or end.reason in with_reason[-1]["reason"], (name, with_reason)

    story = suite.warren("logs", "--story", "--task", sent["tried again, then failed"]).stdout
    for part in (
        "sent\n",
        "attempt 1 began from default, waited",
        "again in 0 s: Retry",
        "attempt 2 began",
        "failed after",
    ):
        assert part in story


def test_each_end_from_outside_is_one_line(running: tuple[Suite, Any], scratch: Path) -> None:
    """A task that expires, is revoked, or is ended as it runs: each has its reason.

    It is revoked before it runs, or in memory.
    """
    suite, app = running
    ids = {
        "expired": app.send_task("jobs.act", ["pass"], expires=0.000001).id,
        "expired, in memory": app.send_task("jobs.act", ["pass"], countdown=2, expires=1).id,
        "revoked": app.send_task("jobs.act", ["pass"], countdown=4).id,
        "terminated": app.send_task("jobs.act", ["time.sleep(100)"]).id,
        "terminated, acknowledged before": app.send_task("jobs.early", ["time.sleep(100)"]).id,
    }
    for name in ("terminated", "terminated, acknowledged before"):
        suite.await_event("worker", "task_started", task_id=ids[name])
    # load: it is asked again
    until(lambda: app.control.revoke(ids["revoked"], reply=True, timeout=2), what="an answer")
    for name in ("terminated", "terminated, acknowledged before"):
        # load: it is asked again
        until(
            lambda name=name: app.control.terminate(ids[name], reply=True, timeout=2),  # type: ignore[misc]
            what="an answer",
        )
    for task_id in ids.values():
        until(lambda task_id=task_id: told(suite, task_id), what="its end")  # type: ignore[misc]
    settled(suite, app)
    lines = {name: told(suite, task_id) for name, task_id in ids.items()}
    assert {
        name: [(line["event"], line["reason"]) for line in found] for name, found in lines.items()
    } == {name: [("task_revoked", name.partition(",")[0])] for name in ids}
    for (line,) in lines.values():
        assert line["queue"] == "default"
        assert line["task"] in ("jobs.act", "jobs.early")


def test_a_task_that_continues_after_it_was_terminated_has_one_end(
    running: tuple[Suite, Any], scratch: Path
) -> None:
    """It ignores the signal, and succeeds: its line says that.

    A second signal that it cannot ignore ends another one.
    """
    suite, app = running
    code = """
import pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({path!r}).touch()
while not os.path.exists({path!r} + ".go"):
    time.sleep(0.02)
"""
    ends = {"task_succeeded": scratch / "on", "task_revoked": scratch / "off"}
    ids = {
        event: app.send_task("jobs.act", [code.format(path=str(path))]).id
        for event, path in ends.items()
    }
    for event, path in ends.items():
        until(path.exists, what="the task at work")
        # load: it is asked again
        until(
            lambda event=event: app.control.terminate(ids[event], reply=True, timeout=2),  # type: ignore[misc]
            what="an answer",
        )
    let_pass(0.5)  # in which no line may come
    assert not [line for task_id in ids.values() for line in told(suite, task_id)]
    # load: it is asked again
    until(
        lambda: app.control.terminate(ids["task_revoked"], signal="KILL", reply=True, timeout=2),
        what="an answer",
    )
    Path(f"{ends['task_succeeded']}.go").touch()
    for event, task_id in ids.items():
        until(lambda task_id=task_id: told(suite, task_id), what=f"the end that is {event}")  # type: ignore[misc]
    settled(suite, app)
    assert {
        event: [line["event"] for line in told(suite, task_id)] for event, task_id in ids.items()
    } == {event: [event] for event in ids}


def settled(suite: Suite, app: Any) -> None:
    """Wait until the worker has run what was sent behind all that."""
    for _ in range(8):
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    let_pass(0.5)  # in which no second line may come
