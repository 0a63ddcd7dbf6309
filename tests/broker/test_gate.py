"""The gate of a real worker, on each broker."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.calls import calls, worst
from support.servers import RabbitMQNode
from support.suite import Suite
from support.wait import until
from warren.app import make_app
from warren.config import load
from warren.quota.book import Book

JOBS = '''
import os, time
from celery import shared_task
from warren.quota.client import quota

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.call")
def call(path):
    """Notes when the provider was called: one line, one write."""
    with quota("provider").call():
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\\n".encode())
        os.close(fd)

@shared_task(name="jobs.hold")
def hold(path):
    """Keeps its child busy until somebody makes the file."""
    end = time.monotonic() + 60
    while time.monotonic() < end and not os.path.exists(path):
        time.sleep(0.02)

@shared_task(name="jobs.silent")
def silent(path):
    """The same without a line of code for the quota."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\\n".encode())
    os.close(fd)
'''

LIMIT, WINDOW = 10, 2.0

INI = """
{broker}
[queue:calls{suffix}]
tasks = jobs.call, jobs.silent, jobs.hold
[queue:other{suffix}]
tasks = jobs.add
[worker:a]
queues = calls{suffix}, other{suffix}
prefetch = 4
[quota:provider]
limit = {limit}/{window}s
tasks = jobs.call, jobs.silent, jobs.hold
"""


@pytest.fixture(params=["embedded", "rabbitmq", "redis"])
def suite(request: pytest.FixtureRequest, scratch: Path) -> Suite:
    """A worker of one quota and one other queue, on each kind of broker."""
    if request.param == "embedded":
        return make(scratch, "")
    url = request.getfixturevalue("redis_url") if request.param == "redis" else request.getfixturevalue("rabbitmq").url
    return make(scratch, url)


def make(scratch: Path, url: str) -> Suite:
    """The same configuration on the broker of this URL."""
    secret = scratch / "url"
    secret.touch(mode=0o600)
    secret.write_text(url, encoding="utf-8")
    section = f"[broker]\nurl_file = {secret}" if url else ""
    text = INI.format(broker=section, suffix=f"-{scratch.name[-8:]}", limit=LIMIT, window=int(WINDOW))
    made = Suite(scratch, text, modules="jobs")
    made.module("jobs", JOBS)
    return made


@pytest.mark.parametrize("task", ["jobs.call", "jobs.silent"])
@pytest.mark.usefixtures("worker")
def test_the_limit_holds_and_every_task_runs(app: Any, scratch: Path, task: str) -> None:
    """Three windows' worth of tasks: no window holds more than the limit, none is lost, with or without the client API."""
    path = scratch / "calls"
    for _ in range(3 * LIMIT):
        app.send_task(task, [str(path)], ignore_result=True)
    until(lambda: len(calls(path)) >= 3 * LIMIT, 60, "every call")
    assert len(calls(path)) == 3 * LIMIT
    assert worst(calls(path), WINDOW) <= LIMIT


@pytest.mark.usefixtures("worker")
def test_other_queues_never_wait_for_a_quota(app: Any, suite: Suite, scratch: Path) -> None:
    """With a quota exhausted and its queue full, a task of another queue of the same worker runs before the next slot is free."""
    path = scratch / "calls"
    for _ in range(4 * LIMIT):
        app.send_task("jobs.call", [str(path)], ignore_result=True)
    until(lambda: len(calls(path)) >= LIMIT, 30, "the first burst")
    results = [app.send_task("jobs.add", [n, n]) for n in range(10)]
    assert [result.get(timeout=30) for result in results] == [2 * n for n in range(10)]
    waits = [line["waited_s"] for line in suite.logged("worker", "task_succeeded", task="jobs.add")]
    assert max(waits) < WINDOW
    assert len(calls(path)) < 4 * LIMIT


@pytest.mark.usefixtures("worker")
def test_a_task_that_is_not_due_takes_no_slot(app: Any, scratch: Path) -> None:
    """Tasks with an ETA in the future leave the whole allowance to those that are due, and run when their time has come."""
    path, later = scratch / "calls", scratch / "later"
    eta = datetime.now(UTC) + timedelta(seconds=3)
    for _ in range(2):
        app.send_task("jobs.call", [str(later)], eta=eta, ignore_result=True)
    for _ in range(LIMIT):
        app.send_task("jobs.call", [str(path)], ignore_result=True)
    until(lambda: len(calls(path)) == LIMIT, 30, "the whole allowance")
    until(lambda: len(calls(later)) == 2, 30, "the tasks that were due later")
    due = eta.timestamp() - time.time() + time.clock_gettime(time.CLOCK_BOOTTIME)
    assert min(calls(later)) >= due - 0.05
    assert worst(sorted(calls(path) + calls(later)), WINDOW) <= LIMIT


def test_a_delivery_limit_turns_no_waiting_into_loss(rabbitmq: RabbitMQNode, scratch: Path) -> None:
    """A quorum queue that drops a message at its second return: hundreds of refusals at the gate lose none."""
    rabbitmq.ctl("set_policy", "strict", "^calls-", '{"delivery-limit": 1}', "--apply-to", "queues")
    suite, path = make(scratch, rabbitmq.url), scratch / "calls"
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        for _ in range(5 * LIMIT):
            app.send_task("jobs.call", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) >= 5 * LIMIT, 60, "every call")
    rabbitmq.ctl("clear_policy", "strict")
    assert len(calls(path)) == 5 * LIMIT


def test_a_broken_connection_leaks_no_slot(rabbitmq: RabbitMQNode, scratch: Path) -> None:
    """Tasks that were admitted and wait for a child when the connection breaks give their slots back, and run in the end."""
    suite, path, go = make(scratch, rabbitmq.url), scratch / "calls", scratch / "go"
    suite.write(
        (suite.etc / "warren.ini").read_text(encoding="utf-8").removeprefix(suite.head).replace("prefetch = 4", "prefetch = 2")
    )
    settings = load(suite.etc)
    app, ledger = make_app(settings), Book(settings)["provider"]
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        for _ in range(2):
            app.send_task("jobs.hold", [str(go)], ignore_result=True)
        until(lambda: ledger.counts().open == 2, 20, "both children busy")
        for _ in range(2):
            app.send_task("jobs.call", [str(path)], ignore_result=True)
        until(lambda: ledger.counts().open == 4, 20, "two more admitted")
        rabbitmq.ctl("close_all_connections", "a test")
        suite.await_event("worker", "broker_lost")
        go.touch()
        until(lambda: len(calls(path)) >= 2, 30, "the calls")
        until(lambda: ledger.counts().open == 0, 30, "no open slot")
