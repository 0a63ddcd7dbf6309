"""What remote control has said holds for the worker that comes after the one that heard it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.suite import Suite
from support.wait import end_of, result_of, until
from warren.app.factory import make_app
from warren.config import load

INI = """
[queue:side]
[worker:a]
queues = default, side
concurrency = 1
remote_control = true
[worker:b]
queues = side
concurrency = 1
remote_control = true
"""
JOBS = (
    "from celery import shared_task\n@shared_task(name='jobs.add')\ndef add(a, b):\n    return a + "
    "b\n"
)


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """Two workers on the embedded broker."""
    made = Suite(scratch, INI, modules="jobs")
    made.module("jobs", JOBS)
    return made


def asked(ask: Callable[..., Any], *arguments: str, name: str = "a", **options: Any) -> None:
    """Have a worker answer a command."""
    # load: it is asked again
    answers = partial(ask, *arguments, reply=True, timeout=2, **options)
    until(lambda: any(f"{name}@" in next(iter(each)) for each in answers()), what="an answer")


def ready(suite: Suite, name: str, times: int) -> None:
    """Wait until a worker has been ready so often."""
    until(
        lambda: len(suite.logged("worker", "ready", program=f"worker-{name}")) >= times,
        what=f"worker {name}",
    )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_revoke_outlives_its_worker(suite: Suite, end: signal.Signals) -> None:
    """When the worker was killed or ended cleanly, its successor ends the task as revoked.

    A cancelled queue outlives the kill alone.
    """
    app = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        ready(suite, "a", 1)
        later = app.send_task("jobs.add", [1, 2], countdown=4)
        stamped = app.signature("jobs.add", (3, 4), countdown=4)
        stamped.stamp(customer="c1")
        with_stamp = stamped.apply_async()
        asked(app.control.revoke, later.id)
        asked(
            lambda **options: app.control.revoke_by_stamped_headers({"customer": ["c1"]}, **options)
        )
        asked(app.control.cancel_consumer, "side", destination=[f"a@{load(suite.etc).host}"])
        worker.send_signal(end)
        end_of(worker)
    with suite.running("worker", "b"):
        ready(suite, "b", 1)
        heard_by_b = app.send_task("jobs.add", [5, 6], countdown=1)
        asked(app.control.revoke, heard_by_b.id, name="b")
    assert not [
        line for line in suite.logged("worker", "task_started") if line["queue"] == "default"
    ]
    with suite.running("worker", "a"):
        ready(suite, "a", 2)
        assert result_of(app.send_task("jobs.add", [1, 1])) == 2
        for task in (later, with_stamp, heard_by_b):
            assert (
                suite.await_event("worker", "task_revoked", task_id=task.id)["reason"] == "revoked"
            )
            assert not suite.logged("worker", "task_started", task_id=task.id)
        cancelled = ["side"] if end == signal.SIGKILL else []
        until(
            lambda: (
                (suite.heartbeat("worker-a") or {"details": {}})["details"].get("cancelled")
                == cancelled
            ),
            what=f"{cancelled}",
        )
