"""What a task says to its worker by an exception of Celery's: try again, reject, ignore.

It is heard, and once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest

from support.suite import Suite
from support.wait import until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
from celery import Task, shared_task, signals
from celery.exceptions import Ignore, Reject, Retry
from kombu.exceptions import OperationalError

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

class Hooked(Task):
    def on_success(self, result, task_id, args, kwargs):
        exec(args[0], {"sys": __import__("sys"), "os": __import__("os")})

@shared_task(name="jobs.hooked", base=Hooked)
def hooked(code):
    pass

@shared_task(name="jobs.act", bind=True, max_retries=1)
def act(self, code):
    exec(code, {**globals(), "self": self})
"""
#: An exception of a type that the worker does not have, for it was made in the pool child.
LATE = """
import jobs
jobs.Late = type("Late", (Exception,), {"__module__": "jobs"})
"""
#: What a task does, and its lines from then on.
RETRIED = ["task_started", "task_retried", "task_started", "task_failed"]
ANSWERS = {
    "tried again, for an error that the worker cannot read": (
        LATE + "raise self.retry(exc=jobs.Late(1, 2), countdown=0)",
        RETRIED,
    ),
    "tried again, for an exit": (
        (
            "if self.request.retries: raise ValueError\nraise self.retry(exc=SystemExit(3), "
            "countdown=0)"
        ),
        RETRIED,
    ),
    "rejected, for such an error": (
        LATE + "raise Reject(jobs.Late(1))",
        ["task_started", "task_failed"],
    ),
    "rejected, for something that cannot be sent": (
        "raise Reject(lambda: 0)",
        ["task_started", "task_failed"],
    ),
    "ignored": ("raise Ignore('x')", ["task_started", "task_ignored"]),
    "ignored, for something that cannot be sent": (
        LATE + "raise Ignore(jobs.Late(1))",
        ["task_started", "task_ignored"],
    ),
    "replaced": (
        "raise self.replace(self.app.signature('jobs.add', (1, 2)))",
        ["task_started", "task_ignored", "task_started", "task_succeeded"],
    ),
    "tried again where no queue is": (
        "raise self.retry(routing_key='nowhere', countdown=0)",
        ["task_started", "task_failed"],
    ),
}
INI = "[worker:a]\nconcurrency = 2\nprefetch = 2\n"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Suite, Any]]:
    """One worker for all of them."""
    with TemporaryDirectory(prefix="warren-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        suite = Suite(Path(directory), INI, modules="jobs")
        suite.module("jobs", JOBS)
        with suite.running("worker", "a"):
            suite.await_event("worker", "ready")
            yield suite, make_app(load(suite.etc))


def told(suite: Suite, task_id: str) -> list[str]:
    """Return the events of a task, in order."""
    return [line["event"] for line in suite.log("worker") if line.get("task_id") == task_id]


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_task_says_is_heard_once(running: tuple[Suite, Any], answer: str) -> None:
    """However the task says it, it does not run again for that.

    A second run would send a second retry.
    """
    suite, app = running
    code, expected = ANSWERS[answer]
    result = app.send_task("jobs.act", [code])
    until(lambda: len(told(suite, result.id)) >= len(expected), what=f"{expected}")
    assert app.send_task("jobs.add", [1, 2]).get(timeout=60) == 3
    # By two processes, where one replaces another: which of them writes first is not said.
    heard = told(suite, result.id)[: len(expected)]
    assert (heard[0], sorted(heard)) == (expected[0], sorted(expected))


@pytest.mark.parametrize(
    "code", ["pass", "1/0", "sys.exit(3)", "os._exit(3)", "raise GeneratorExit"]
)
def test_a_success_is_told_whatever_comes_behind_it(running: tuple[Suite, Any], code: str) -> None:
    """A task's own `on_success` runs when the result is stored.

    It may leave the process, and the task has succeeded.
    """
    suite, app = running
    result = app.send_task("jobs.hooked", [code])
    suite.await_event("worker", "task_succeeded", task_id=result.id)
    unacked = suite.directory / "state/broker/unacked"
    until(lambda: not list(unacked.rglob("*/default/*")), what="the message answered")
    assert app.send_task("jobs.add", [1, 2]).get(timeout=60) == 3
    assert told(suite, result.id) == ["task_started", "task_succeeded"]
    assert result.state == "SUCCESS"


#: What asks for the same attempt again.
AGAIN = {
    "Reject(requeue=True)": "Reject('not now', requeue=True)",
    "a retry that the broker did not take": "Reject(OperationalError('not now'))",
}


@pytest.mark.parametrize("answer", AGAIN)
def test_a_task_that_asks_for_the_same_attempt_again_waits_for_it(
    running: tuple[Suite, Any], scratch: Path, answer: str
) -> None:
    """The pause grows with each time.

    Without it the task would keep a process busy, and use its quota up, without an end.
    """
    suite, app = running
    enough = scratch / "enough"
    result = app.send_task(
        "jobs.act", [f"import os\nif not os.path.exists({str(enough)!r}): raise {AGAIN[answer]}"]
    )
    until(lambda: len(requeued(suite, result.id)) >= 5, what="five returns")
    assert app.send_task("jobs.add", [1, 2]).get(timeout=60) == 3
    enough.touch()
    suite.await_event("worker", "task_succeeded", task_id=result.id)
    pauses = [line["again_in_s"] for line in requeued(suite, result.id)]
    assert pauses == [min(5.0, 0.1 * 2**number) for number in range(len(pauses))]
    assert {line["reason"].partition("not now")[1] for line in requeued(suite, result.id)} == {
        "not now"
    }


def requeued(suite: Suite, task_id: str) -> list[dict[str, Any]]:
    """Return the lines of its returns."""
    return suite.logged("worker", "task_requeued", task_id=task_id)


def test_a_chord_without_an_interval_does_not_keep_a_process_busy(
    running: tuple[Suite, Any],
) -> None:
    """It looks at its parts after pauses that grow, also where the message asks for none."""
    suite, app = running
    part = uuid4().hex
    body = app.signature("jobs.add", ([2],), options={"task_id": f"behind-{part}"})
    found = app.send_task(
        "celery.chord_unlock", [part, body], {"interval": 0, "result": [[[part, None], None]]}
    )
    until(lambda: suite.logged("worker", "task_retried", task_id=found.id)[3:], what="four looks")
    lines = suite.logged("worker", "task_retried", task_id=found.id)[:4]
    assert [each["reason"].rpartition(" ")[2] for each in lines] == ["0.1)", "0.2)", "0.4)", "0.8)"]
    app.backend.store_result(part, 1, "SUCCESS")
    suite.await_event("worker", "task_succeeded", task_id=f"behind-{part}")
