"""A task that waits longer than it may ends as revoked, on every broker.

It has a line and a result, and never runs.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from celery.exceptions import TaskRevokedError

from support.brokers import KINDS, own_section
from support.suite import Suite
from support.wait import deadline, end_of, let_pass, result_of
from warren.app.factory import make_app
from warren.config import load

#: Seconds for which a task may wait.
TERM = 1.0


@pytest.fixture(params=KINDS)
def suite(request: pytest.FixtureRequest, scratch: Path) -> Suite:
    """A worker on a broker of the test's own."""
    made = Suite(scratch, f"{own_section(request, scratch, 12)}[worker:a]\n", modules="jobs")
    made.module(
        "jobs",
        "from celery import shared_task\n@shared_task(name='jobs.add')\ndef add(a, b):\n    "
        "return a + b\n",
    )
    return made


def test_a_task_that_expires_in_its_queue_ends_as_revoked(suite: Suite) -> None:
    """The broker keeps it until a worker reports its end.

    A client that waits for its result hears that it was revoked.
    """
    app = make_app(load(suite.etc))
    late = app.send_task("jobs.add", [1, 1], expires=TERM)
    sent = time.monotonic()
    in_time = app.send_task("jobs.add", [1, 2], expires=3600)
    let_pass(sent + TERM + 0.5 - time.monotonic())
    with suite.running("worker", "a"):
        assert result_of(in_time) == 3
        assert suite.await_event("worker", "task_revoked", task_id=late.id)["reason"] == "expired"
        with deadline("the result") as seconds, pytest.raises(TaskRevokedError):
            late.get(timeout=seconds)
    assert not suite.logged("worker", "task_started", task_id=late.id)
    assert len(suite.logged("worker", "task_revoked", task_id=late.id)) == 1


def test_a_tick_whose_entry_expires(suite: Suite) -> None:
    """Its task is dropped when no worker took it in time; a later tick runs."""
    ini = (suite.etc / "warren.ini").read_text(encoding="utf-8").removeprefix(suite.head)
    entry = "[schedule:s]\ntask = jobs.add\nargs = [1, 1]\nevery = 1s\nexpires = 1s\n"
    suite.write(f"{ini}{entry}")
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")  # so that the queue is there
        worker.terminate()
        end_of(worker)
    with suite.running("beat"):
        first = suite.await_event("beat", "tick_sent")["task_id"]
        let_pass(TERM + 0.5)
        with suite.running("worker", "a"):
            said = suite.await_event("worker", "task_revoked", task_id=first)
            assert said["reason"] == "expired"
            suite.await_event("worker", "task_succeeded")
