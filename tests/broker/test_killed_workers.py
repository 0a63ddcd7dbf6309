"""A task that kills its worker, on brokers that do not count returns because of that."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.calls import calls
from support.suite import Suite, broker_section
from support.wait import end_of, let_pass, result_of
from warren.app.factory import make_app
from warren.config import load

JOBS = """
import os, time
from celery import shared_task

@shared_task(name="jobs.kill_worker")
def kill_worker(path):
    with open(path, "a") as file:
        print(time.clock_gettime_ns(time.CLOCK_BOOTTIME), file=file, flush=True)
    os.kill(os.getppid(), 9)
    time.sleep(60)
"""


def dies(suite: Suite) -> None:
    """A worker's life; when this returns the broker would give what it had to another one."""
    with suite.running("worker", "a") as worker:
        assert end_of(worker) == -signal.SIGKILL
    # Redis looks for messages whose visibility timeout is over at a worker's start, and then each
    # 100 s.
    let_pass(1.5)


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_task_that_kills_its_worker_is_given_up(
    broker: str, scratch: Path, request: pytest.FixtureRequest
) -> None:
    """It runs five times, whatever the broker delivers, then it has failed and the worker lives."""
    url = (
        request.getfixturevalue("redis_url")
        if broker == "redis"
        else request.getfixturevalue("rabbitmq").url
    )
    # Queues of its own: the brokers are those of other tests as well.
    ini = "visibility_timeout = 1s\n[queue:deaths]\ntasks = jobs.*\n[worker:a]\nqueues = deaths\n"
    suite = Suite(scratch, broker_section(scratch, url) + ini, modules="jobs")
    suite.module("jobs", JOBS)
    runs = scratch / "runs"
    bad = make_app(load(suite.etc)).send_task("jobs.kill_worker", [str(runs)])
    for _ in range(5):
        dies(suite)
    with suite.running("worker", "a") as worker:
        assert "WorkerLost" in type(result_of(bad, propagate=False)).__name__
        assert worker.poll() is None
    assert len(calls(runs)) == 5
    assert [
        line["crashes"] for line in suite.logged("worker", "task_requeued", task_id=bad.id)
    ] == [1, 2, 3, 4, 5]
