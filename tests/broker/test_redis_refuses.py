"""Redis that takes the connection and refuses a command: the worker waits, says so, and goes on by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Redis

from support.suite import Suite, broker_section
from support.wait import result_of
from warren.app import make_app
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""


def test_a_refused_note_ends_no_worker(scratch: Path, redis_url: str) -> None:
    """Without memory Redis refuses to note what was taken: the log says what to do; with memory the same worker goes on."""
    url = redis_url.replace("/0", "/9")
    database: Redis = Redis.from_url(url)
    database.flushdb()
    suite = Suite(scratch, broker_section(scratch, url) + "[worker:a]\nconcurrency = 1\n", modules="jobs")
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        worker.send_signal(19)  # SIGSTOP: what is sent now waits on its list
        waiting = app.send_task("jobs.add", [1, 2])
        database.config_set("maxmemory", "1")
        try:
            worker.send_signal(18)
            suite.await_event("worker", "broker_lost")
            assert any("maxmemory" in (line.get("remedy") or "") for line in suite.logged("worker", "broker_lost"))
        finally:
            database.config_set("maxmemory", "0")
        waiting.forget()  # Redis had taken it off its list as it refused to note it
        assert result_of(app.send_task("jobs.add", [3, 4])) == 7
        assert worker.poll() is None
        assert not suite.logged("worker", "crashed")
