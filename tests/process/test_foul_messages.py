"""Messages that end a worker's process before a pool child has them, and such commands."""

from __future__ import annotations

import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery.worker.control import Panel
from kombu import Exchange

from support.calls import calls
from support.sample import SAMPLE
from support.suite import Suite
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load
from warren.worker.current_message import MOST_CRASHES
from warren.worker.remote_control import REFUSED

#: The strategy of this task stands for a message whose mere sight ends the process: out of memory,
#: hung, killed.
JOBS = (
    SAMPLE
    + """
import signal
from celery import signals

@signals.task_received.connect(weak=False)
def received(request, **_):
    if request.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
"""
)
INI = """
[queue:calls]
tasks = jobs.call
[worker:a]
queues = default, calls
concurrency = 1
remote_control = {remote_control}
[quota:provider]
limit = 2/60s
tasks = jobs.call
"""


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker on the embedded broker."""
    made = Suite(scratch, INI.format(remote_control="true"), modules="jobs")
    made.module("jobs", JOBS)
    return made


def test_a_message_that_kills_its_worker_is_rejected(app: Any, suite: Suite) -> None:
    """After three crashes with the message in hand the next worker rejects it.

    It has the reason, and what stands behind the message runs.
    """
    bad = app.send_task("jobs.add", [1, 2], shadow="deadly", ignore_result=True)
    behind = app.send_task("jobs.add", [3, 4])
    for _ in range(MOST_CRASHES):
        with suite.running("worker", "a") as worker:
            assert worker.wait(60) == -signal.SIGKILL
    with suite.running("worker", "a") as worker:
        assert behind.get(timeout=60) == 7
        [line] = suite.logged("worker", "message_rejected", task_id=bad.id)
        assert f"died {MOST_CRASHES} times" in line["reason"]
        assert worker.poll() is None


def test_no_command_stops_a_worker(worker: Any, app: Any, suite: Suite) -> None:
    """Each command that would end the worker is refused with what to do instead.

    Questions are answered, and tasks run.
    """
    assert set(REFUSED) <= set(Panel.data)
    for name, instead in REFUSED.items():
        # load: it is asked again
        [answer] = until(partial(app.control.broadcast, name, reply=True, timeout=2), what=name)
        assert instead in answer["a@" + load(suite.etc).host]["error"]
    app.control.revoke("no-such-task")
    assert until(app.control.ping, what="an answer")
    assert not [
        line for line in suite.logged("worker", "record") if "revoked in backend" in line["message"]
    ]
    foul: list[tuple[Any, dict[str, Any]]] = [
        ({}, {"destination": 5}),
        ([1], {}),
        ({}, {"pattern": 1, "matcher": 2}),
    ]
    for arguments, fields in foul:
        with app.connection_for_write() as connection:
            app.control.mailbox._publish("ping", arguments, channel=connection.channel(), **fields)
    assert until(app.control.ping, what="an answer")
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None


def test_remote_control_is_off_unless_asked_for(suite: Suite) -> None:
    """A broadcast reaches nobody: no worker has a queue for it."""
    suite.write(INI.format(remote_control="false"))
    app = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready", 60)
        app.control.broadcast("shutdown")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        assert not list((suite.directory / "state" / "broker" / "queues").glob("*pidbox*"))
        assert worker.poll() is None


def test_no_expiry_makes_a_call_without_a_slot(
    worker: Any, app: Any, suite: Suite, scratch: Path
) -> None:
    """Messages whose moment two parsers read differently are rejected, and take no slot.

    The next good task calls.
    """
    path = scratch / "calls"
    with app.connection_for_write() as connection:
        producer = connection.Producer(exchange=Exchange("warren", "topic"), routing_key="calls")
        for number, fields in enumerate(
            [{"expires": "2026W4872210"}, {"eta": "2030-12-30T24:00:00"}] * 6
        ):
            headers = {"task": "jobs.call", "id": f"q-{number}", **fields}
            body = f'[["{path}"], {{}}, {{}}]'
            producer.publish(
                body, headers=headers, content_type="application/json", content_encoding="utf-8"
            )
    app.send_task("jobs.call", [str(path)]).get(timeout=60)
    assert len(suite.logged("worker", "message_rejected")) == 12
    assert len(calls(path)) == 1
    assert worker.poll() is None


def test_any_id_has_a_result(worker: Any, app: Any) -> None:
    """Also one that is a URL, or as long as an id may be: no pool child is held by it."""
    for task_id in ("https://example.org/page/1", "x" * 200, "é" * 100, "..", "a b"):
        assert app.send_task("jobs.add", [1, 2], task_id=task_id).get(timeout=60) == 3
    assert worker.poll() is None


def test_a_message_that_is_too_large_is_an_error_of_its_sender(suite: Suite) -> None:
    """`warren call` says what to do, and nothing is sent."""
    suite.write("[broker]\nlargest_message = 10kB\n")
    (suite.directory / "state").mkdir()
    refused = suite.warren("call", "jobs.add", "x" * 20_000, "1")
    assert refused.returncode != 0
    assert "[broker] largest_message" in refused.stderr
    assert not list((suite.directory / "state").rglob("queues/default/*"))


def test_a_result_that_cannot_be_stored_is_told(worker: Any, app: Any, suite: Suite) -> None:
    """Its task has failed, with the reason in the log, and holds no pool child."""
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    results = suite.directory / "state" / "results"
    shutil.rmtree(results)
    results.write_bytes(b"")
    asked = app.send_task("jobs.add", [1, 2])
    line = suite.await_event("worker", "task_failed", task_id=asked.id)
    assert "Not a directory" in line["reason"]
    assert [line["task_id"] for line in suite.logged("worker", "task_failed")] == [asked.id]  # once
    results.unlink()
    results.mkdir()
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert worker.poll() is None
