"""Redis that takes the connection and refuses writes: a broker that is away.

The worker waits, says so, and loses nothing.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from support.servers import free_port, redis_server_at
from support.suite import Suite, broker_section
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.broker.queue_depth import depths
from warren.config import load

JOBS = """
import os, time
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

def hold(directory, name):
    with open(directory + "/runs", "a") as file:
        file.write(name + "\\n")
    while not os.path.exists(directory + "/go"):
        time.sleep(0.05)

@shared_task(name="jobs.told")
def told(directory):
    hold(directory, "told")
    return "done"

@shared_task(name="jobs.silent", ignore_result=True)
def silent(directory):
    hold(directory, "silent")
"""
#: Refuses writes, with True, and takes them again, with False.
Switch = Callable[[bool], object]


class Server:
    """A Redis of the test's own, and how to have it refuse writes."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port, self.password = directory, free_port(), secrets.token_hex(8)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.database: Redis = Redis.from_url(self.url)

    def memory(self, full: bool) -> None:
        """It has no memory left."""
        self.database.config_set("maxmemory", int(full))

    def replica(self, begin: bool) -> None:
        """It has become a replica of one that is away."""
        self.database.replicaof(*(("127.0.0.1", str(free_port())) if begin else ("NO", "ONE")))

    def disk(self, broken: bool) -> None:
        """It cannot write its file."""
        if broken:
            (self.directory / "dump.rdb").mkdir()
            self.database.config_set("save", "3600 1")
            self.database.bgsave()
            until(
                lambda: self.database.info("persistence")["rdb_last_bgsave_status"] != "ok",
                what="a failure to save",
            )
        else:
            (self.directory / "dump.rdb").rmdir()
            self.database.config_set("save", "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own."""
    made = Server(tmp_path)
    with redis_server_at(tmp_path, made.port, made.password):
        yield made


@pytest.fixture
def suite(scratch: Path, server: Server) -> Suite:
    """A suite of one worker, whose children have as many messages at a time as they run."""
    section = broker_section(scratch, server.url) + "[worker:a]\nconcurrency = 2\nprefetch = 1\n"
    made = Suite(scratch, section, modules="jobs")
    made.module("jobs", JOBS)
    return made


@pytest.mark.parametrize("kind", ["memory", "replica", "disk"])
def test_a_refused_write_loses_no_task_and_ends_no_worker(
    kind: str, suite: Suite, server: Server, app: Any
) -> None:
    """Tasks that end meanwhile wait for their result, or their acknowledgement.

    What is in the queue waits; all run once.
    """
    switch: Switch = getattr(server, kind)
    directory = str(suite.directory)
    runs = suite.directory / "runs"
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        told, _ = app.send_task("jobs.told", [directory]), app.send_task("jobs.silent", [directory])
        later = app.send_task("jobs.add", [1, 2])
        until(
            lambda: runs.exists() and len(runs.read_text("ascii").split()) == 2,
            what="both to have begun",
        )
        switch(True)
        try:
            (suite.directory / "go").touch()
            waits = until(
                lambda: (suite.heartbeat("worker-a") or {"details": {}})["details"].get(
                    "storing_s"
                ),
                what="a wait",
            )
            assert waits > 0
            suite.await_event("worker", "broker_lost")
        finally:
            switch(False)
        assert result_of(told) == "done"
        assert result_of(later) == 3
        until(lambda: not server.database.hlen("unacked"), what="everything acknowledged")
        assert worker.poll() is None
        stored = suite.await_event("worker", "results_stored", task_id=told.id)
    waited = suite.logged("worker", "results_not_stored", task_id=told.id)
    assert [line["attempt"] for line in waited] == [stored["attempt"]], "one line for all trials"
    assert not [line for line in suite.log("worker") if "Failed operation" in str(line)]
    assert sorted(runs.read_text("ascii").split()) == ["silent", "told"]
    assert not suite.logged("worker", "crashed")
    assert not suite.logged("worker", "task_failed")


def test_a_time_limit_that_redis_is_not_told(scratch: Path, server: Server) -> None:
    """A task meets its hard limit while Redis takes no writes: it goes back.

    It fails by its limit when Redis takes them.
    """
    section = broker_section(scratch, server.url) + "[worker:a]\nconcurrency = 1\ntime_limit = 3s\n"
    suite = Suite(scratch, section, modules="jobs")
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        held = app.send_task("jobs.told", [str(scratch)])
        until(lambda: (scratch / "runs").exists(), what="it has begun")
        server.memory(True)
        try:
            suite.await_event("worker", "broker_lost")
        finally:
            server.memory(False)
        assert type(result_of(held, propagate=False)).__name__ == "TimeLimitExceeded"
        until(lambda: not server.database.hlen("unacked"), what="its acknowledgement")
        assert worker.poll() is None
    assert not suite.logged("worker", "crashed")


def test_a_message_that_meets_a_full_redis_stays_in_its_queue(
    suite: Suite, server: Server, app: Any
) -> None:
    """When memory runs out between a message and its taker, the take is refused whole.

    The log says what to do, and the depth is right.
    """
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        until(
            lambda: not server.database.hlen("unacked"),
            what="its acknowledgement, which follows the result",
        )
        worker.send_signal(signal.SIGSTOP)
        waiting = app.send_task("jobs.add", [1, 2])
        server.memory(True)
        try:
            worker.send_signal(signal.SIGCONT)
            suite.await_event("worker", "broker_lost")
            assert any(
                "maxmemory" in (line.get("remedy") or "")
                for line in suite.logged("worker", "broker_lost")
            )
            assert (server.database.llen("default"), server.database.hlen("unacked")) == (1, 0)
            assert depths(app, ["default"]) == {"default": 1}
        finally:
            server.memory(False)
        assert result_of(waiting) == 3
        assert result_of(app.send_task("jobs.add", [3, 4])) == 7
        assert worker.poll() is None
    assert not suite.logged("worker", "crashed")
