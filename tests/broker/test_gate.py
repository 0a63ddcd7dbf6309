"""The gate of a real worker, on each broker."""

from __future__ import annotations

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.calls import NOTING, calls, worst
from support.figures import Figure
from support.forks import child, end
from support.sample import ADD
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section, children
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load
from warren.quotas.layout import DRIFT
from warren.quotas.ledger import Ledger
from warren.quotas.ledgers import Ledgers
from warren.system.process import Process

JOBS = (
    NOTING
    + ADD
    + '''
import signal
from warren.quotas.client import quota

@shared_task(name="jobs.call")
def call(path):
    """Calls the provider under its quota."""
    with quota("provider").call():
        note(path)

@shared_task(name="jobs.hold")
def hold(path):
    """Keeps its child busy until somebody makes the file."""
    end = time.monotonic() + 600
    while time.monotonic() < end and not os.path.exists(path):
        time.sleep(0.02)

@shared_task(name="jobs.endless")
def endless(path):
    """Calls and calls, and does not end for SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        note(path)

@shared_task(name="jobs.cut_off")
def cut_off():
    """A call that a soft time limit ends before its block begins: nobody knows the slot."""
    quota("provider").call().__enter__()

@shared_task(name="jobs.silent")
def silent(path):
    """The same without a line of code for the quota."""
    note(path)
'''
)

LIMIT, WINDOW = 10, 2.0

INI = """
{broker}
[queue:calls{suffix}]
tasks = jobs.call, jobs.silent, jobs.hold, jobs.endless
[queue:other{suffix}]
tasks = jobs.add, jobs.cut_off
[worker:a]
queues = calls{suffix}, other{suffix}
prefetch = 4
[quota:provider]
limit = {limit}/{window}s
tasks = jobs.call, jobs.silent, jobs.hold, jobs.endless
"""


@pytest.fixture(params=["embedded", "rabbitmq", "redis"])
def suite(request: pytest.FixtureRequest, scratch: Path) -> Suite:
    """A worker of one quota and one other queue, on each kind of broker."""
    if request.param == "embedded":
        return make(scratch, "")
    url = (
        request.getfixturevalue("redis_url")
        if request.param == "redis"
        else request.getfixturevalue("rabbitmq").url
    )
    return make(scratch, url)


def make(scratch: Path, url: str) -> Suite:
    """The same configuration on the broker of this URL."""
    section = broker_section(scratch, url) if url else ""
    text = INI.format(
        broker=section, suffix=f"-{scratch.name[-8:]}", limit=LIMIT, window=int(WINDOW)
    )
    made = Suite(scratch, text, modules="jobs")
    made.module("jobs", JOBS)
    return made


@pytest.mark.parametrize("task", ["jobs.call", "jobs.silent"])
@pytest.mark.usefixtures("worker")
def test_the_limit_holds_and_every_task_runs(app: Any, scratch: Path, task: str) -> None:
    """Of three windows' worth of tasks no window holds more than the limit.

    None is lost, with or without the client API.
    """
    path = scratch / "calls"
    for _ in range(3 * LIMIT):
        app.send_task(task, [str(path)], ignore_result=True)
    until(lambda: len(calls(path)) >= 3 * LIMIT, what="every call")
    assert len(calls(path)) == 3 * LIMIT
    assert worst(calls(path), WINDOW) <= LIMIT


def test_other_queues_never_wait_for_a_quota(suite: Suite, scratch: Path) -> None:
    """With a quota exhausted and its queue full, another queue's task runs at once.

    It runs before the next slot is free.
    """
    path = scratch / "calls"
    suite.write(
        (suite.etc / "warren.ini")
        .read_text(encoding="utf-8")
        .removeprefix(suite.head)
        .replace("/2s", "/1h")
    )
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        for _ in range(4 * LIMIT):
            app.send_task("jobs.call", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) >= LIMIT, what="the first burst")
        results = [app.send_task("jobs.add", [n, n]) for n in range(10)]
        assert [result_of(result) for result in results] == [2 * n for n in range(10)]
    assert len(calls(path)) == LIMIT


@pytest.mark.usefixtures("worker")
def test_a_task_that_is_not_due_takes_no_slot(app: Any, scratch: Path) -> None:
    """Tasks with an ETA in the future leave the whole allowance to tasks that are due.

    They run when their time has come.
    """
    path, later = scratch / "calls", scratch / "later"
    eta = datetime.now(UTC) + timedelta(seconds=3)
    for _ in range(2):
        app.send_task("jobs.call", [str(later)], eta=eta, ignore_result=True)
    for _ in range(LIMIT):
        app.send_task("jobs.call", [str(path)], ignore_result=True)
    until(lambda: len(calls(path)) == LIMIT, what="the whole allowance")
    until(lambda: len(calls(later)) == 2, what="the tasks that were due later")
    due = eta.timestamp() - time.time() + time.clock_gettime(time.CLOCK_BOOTTIME)
    assert min(calls(later)) >= due - 0.05
    assert worst(sorted(calls(path) + calls(later)), WINDOW) <= LIMIT


def test_a_delivery_limit_turns_no_waiting_into_loss(rabbitmq: RabbitMQNode, scratch: Path) -> None:
    """On a quorum queue with a delivery limit hundreds of refusals at the gate lose no task.

    The queue drops a message at its second return.
    """
    rabbitmq.ctl("set_policy", "strict", "^calls-", '{"delivery-limit": 1}', "--apply-to", "queues")
    suite, path = make(scratch, rabbitmq.url), scratch / "calls"
    app = make_app(load(suite.etc))
    try:
        with suite.running("worker", "a"):
            suite.await_event("worker", "ready")
            for _ in range(5 * LIMIT):
                app.send_task("jobs.call", [str(path)], ignore_result=True)
            until(lambda: len(calls(path)) >= 5 * LIMIT, what="every call")
    finally:
        rabbitmq.ctl("clear_policy", "strict")
    assert len(calls(path)) == 5 * LIMIT


def test_a_stopped_holder_of_a_lock_holds_up_no_other_queue(scratch: Path, figure: Figure) -> None:
    """While a stopped process holds the ledger's lock, heartbeat and other queues continue.

    Then the tasks run.
    """
    suite, path = make(scratch, ""), scratch / "calls"
    settings = load(suite.etc)
    app, ledger = make_app(settings), Ledgers(settings)["provider"]

    def hold() -> None:
        with ledger._file.locked():
            os.kill(os.getpid(), signal.SIGSTOP)

    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        holder = child(hold)
        try:
            os.waitpid(holder, os.WUNTRACED)
            for _ in range(8):
                app.send_task("jobs.call", [str(path)], ignore_result=True)
            suite.await_event("worker", "ledger_busy")
            results = [app.send_task("jobs.add", [n, n]) for n in range(20)]
            assert [result_of(result) for result in results] == [2 * n for n in range(20)]
            # With the patience of a child, each of the 8 messages would cost the main loop more
            # than 2 s.
            longest = max(
                float(line["waited_s"])
                for line in suite.logged("worker", "task_succeeded", task="jobs.add")
            )
            figure(
                "a ledger whose holder is stopped: tasks of other queues wait", longest, "<= 6 s"
            )
        finally:
            os.kill(holder, signal.SIGKILL)
            end(holder)
        until(lambda: len(calls(path)) == 8, what="the calls")
        until(lambda: ledger.counts().open == 0, what="no open slot")


def test_no_call_after_a_time_limit_has_let_the_slot_cool(scratch: Path) -> None:
    """A task that its time limit ends calls no more once its slot cools.

    This holds however short the longest call is said to be.
    """
    suite, path = make(scratch, ""), scratch / "calls"
    text = (suite.etc / "warren.ini").read_text(encoding="utf-8").removeprefix(suite.head)
    suite.write(
        text.replace("prefetch = 4", "time_limit = 10s").replace("/2s", "/1h\nlongest_call = 1ms")
    )
    settings = load(suite.etc)
    app, ledger = make_app(settings), Ledgers(settings)["provider"]
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        app.send_task("jobs.endless", [str(path)], ignore_result=True)

        def callers() -> list[Process]:
            """The pool's process once it has taken the slot over from the worker."""
            with ledger._file.locked() as slots:
                return [owner for _, owner in slots.open_tickets() if owner.pid != worker.pid]

        (caller,) = until(callers, what="a call")
        suite.await_event("worker", "task_failed")
        until(lambda: ledger.counts().cooling == 1, what="the slot to cool")
        until(lambda: not caller.alive, what="the end of the process that calls")
        last = max(calls(path))
    cools_until = (ledger.counts().next_free or 0) / 1e9
    assert last < cools_until - 3600 * (1 + 1 / DRIFT) - 0.001
    assert len(suite.logged("worker", "task_failed")) == 1


def test_a_call_that_is_cut_off_leaks_no_slot(scratch: Path) -> None:
    """The slot of a call that was cut off cools when its task ends, though its process lives on."""
    suite = make(scratch, "")
    settings = load(suite.etc)
    app, ledger = make_app(settings), Ledgers(settings)["provider"]
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        app.send_task("jobs.cut_off", ignore_result=True)
        suite.await_event("worker", "task_succeeded")
        until(lambda: ledger.counts().open == 0, what="no open slot")
        assert ledger.counts().admitted == 1


def test_a_broken_connection_leaks_no_slot(rabbitmq: RabbitMQNode, scratch: Path) -> None:
    """Admitted tasks that wait for a child when the connection breaks release their slots.

    They run in the end.
    """
    suite, path, go = make(scratch, rabbitmq.url), scratch / "calls", scratch / "go"
    suite.write(
        (suite.etc / "warren.ini")
        .read_text(encoding="utf-8")
        .removeprefix(suite.head)
        .replace("prefetch = 4", "prefetch = 2")
    )
    settings = load(suite.etc)
    app, ledger = make_app(settings), Ledgers(settings)["provider"]
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        for _ in range(2):
            app.send_task("jobs.hold", [str(go)], ignore_result=True)
        until(lambda: ledger.counts().open == 2, what="both children busy")
        for _ in range(2):
            app.send_task("jobs.call", [str(path)], ignore_result=True)
        until(lambda: ledger.counts().open == 4, what="two more admitted")
        rabbitmq.ctl("close_all_connections", "a test")
        suite.await_event("worker", "broker_lost")
        go.touch()
        until(lambda: len(calls(path)) >= 2, what="the calls")
        until(lambda: ledger.counts().open == 0, what="no open slot")


def reservations(ledger: Ledger) -> set[int]:
    """The serials of the slots that are open."""
    with ledger._file.locked() as slots:
        return {ticket.serial for ticket, _ in slots.open_tickets()}


def test_a_connection_that_breaks_before_a_child_takes_up_its_task(
    rabbitmq: RabbitMQNode, scratch: Path
) -> None:
    """Tasks on their way to a pool child when the connection breaks release their slots.

    They run in the end.
    """
    suite, path = make(scratch, rabbitmq.url), scratch / "calls"
    settings = load(suite.etc)
    app, ledger = make_app(settings), Ledgers(settings)["provider"]
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        until(lambda: len(children(worker.pid)) == 2, what="the pool's children")
        pool = children(worker.pid)
        try:
            for pid in pool:
                os.kill(pid, signal.SIGSTOP)
            for _ in range(2):
                app.send_task("jobs.call", [str(path)], ignore_result=True)
            until(lambda: ledger.counts().open == 2, what="both admitted")
            suite.warren("status")  # the worker has written the tasks to its children by now
            before = reservations(ledger)
            rabbitmq.ctl("close_all_connections", "a test")
            suite.await_event("worker", "broker_lost")
            # What is delivered again may be admitted again at once: with slots of its own.
            until(lambda: not before & reservations(ledger), what="the slots given back")
        finally:
            for pid in pool:
                os.kill(pid, signal.SIGCONT)
        until(lambda: len(calls(path)) >= 2, what="the calls")
        until(lambda: ledger.counts().open == 0, what="no open slot")
