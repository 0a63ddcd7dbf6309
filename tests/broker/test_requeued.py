"""A task that asks for the same attempt again, on every broker.

It has it, after a pause, and is never lost.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.brokers import KINDS, own_section
from support.suite import Suite
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
import os
from celery import shared_task
from celery.exceptions import Reject

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.again")
def again(path):
    if not os.path.exists(path):
        raise Reject("not now", requeue=True)
    return "done"
"""


@pytest.fixture(params=KINDS)
def suite(request: pytest.FixtureRequest, scratch: Path) -> Suite:
    """A worker on a broker of the test's own."""
    made = Suite(scratch, f"{own_section(request, scratch, 10)}[worker:a]\n", modules="jobs")
    made.module("jobs", JOBS)
    return made


def test_a_task_that_asks_for_the_same_attempt_comes_again(suite: Suite, scratch: Path) -> None:
    """The pause grows, and the copy counts.

    The next tasks run meanwhile, and the task runs to its end.
    """
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        result = app.send_task("jobs.again", [str(scratch / "now")])
        lines = until(
            lambda: suite.logged("worker", "task_requeued", task_id=result.id)[3:],
            what="four returns",
        )
        assert lines[0]["again_in_s"] == 0.8
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        (scratch / "now").touch()
        suite.await_event("worker", "task_succeeded", task_id=result.id)
        assert len(suite.logged("worker", "task_succeeded", task_id=result.id)) == 1
