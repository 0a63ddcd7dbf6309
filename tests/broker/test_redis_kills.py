"""Workers and Redis that are killed: no task is lost (a short form of `scripts/bench kills`)."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from redis import Redis

from support.figures import Figure
from support.kills import JOBS as NOTE
from support.kills import Run
from support.suite import Suite, broker_section
from support.wait import end_of, until
from warren.app.factory import make_app
from warren.config import load


def test_a_task_that_reaches_a_stopped_worker_runs_at_the_next_one(
    scratch: Path, redis_url: str
) -> None:
    """An idle worker is stopped, a task is sent, the worker is killed.

    The next worker runs the task, each time.
    """
    url = redis_url.replace("/0", "/8")
    database: Redis = Redis.from_url(url)
    database.flushdb()
    ini = broker_section(scratch, url) + "polling_interval = 1s\n[worker:a]\nconcurrency = 1\n"
    suite, runs = Suite(scratch, ini, modules="jobs"), scratch / "runs"
    suite.module("jobs", NOTE)
    app: Any = make_app(load(suite.etc))
    for number in range(3):
        with suite.running("worker", "a") as worker:
            until(
                lambda ends=number: len(suite.logged("worker", "ready")) > ends,  # type: ignore[misc]
                what="a worker",
            )
            until(
                lambda: not database.llen("default") and not database.hlen("unacked"),
                what="an idle one",
            )
            worker.send_signal(signal.SIGSTOP)
            app.send_task("jobs.note", [str(runs), number], ignore_result=True)
            worker.send_signal(signal.SIGKILL)
            end_of(worker)
    with suite.running("worker", "a"):
        until(
            lambda: runs.exists() and len(set(runs.read_text("ascii").split())) == 3,
            what="all three",
        )
    assert not database.hlen("unacked")


def test_kills_lose_nothing(scratch: Path, figure: Figure) -> None:
    """Of 300 tasks each one runs, though a worker and Redis are killed.

    The worker is killed ten times and Redis once, with its writes on disk; nothing stays behind.
    """
    found = Run(scratch, tasks=300, kills=10, server_kills=1)()
    figure("Redis: tasks lost in 10 kill -9 of workers and 1 of Redis", len(found.lost), "0")
    figure("Redis: tasks that ran twice in them", found.again, "few of 300")
    assert found.lost == []
    assert found.left == [0, 0, 0]
