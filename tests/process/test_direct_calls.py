"""The body of a governed task that is called rather than sent.

No such call is made without a slot.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kombu import Exchange

from support.calls import calls, worst
from support.sample import SAMPLE
from support.suite import Suite
from support.wait import result_of, until

JOBS = (
    SAMPLE
    + """
from warren.quotas.client import quota

@shared_task(name="jobs.within")
def within(path):
    with quota("provider").call():
        note(path)
    call(path)

@shared_task(name="jobs.failed")
def failed(request, error, traceback, path):
    note(path)

@shared_task(name="jobs.act")
def act(code, path):
    exec(code, {**globals(), "path": path})
"""
)
LIMIT, WINDOW = 2, 2.0
INI = """
[queue:calls]
tasks = jobs.call, jobs.failed, jobs.within
[worker:a]
queues = default, calls
concurrency = 2
[quota:provider]
limit = 2/2s
longest_call = 1s
tasks = jobs.call, jobs.failed, jobs.within
"""


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A worker on the embedded broker, and a quota."""
    made = Suite(scratch, INI, modules="jobs")
    made.module("jobs", JOBS)
    return made


def test_a_call_of_a_governed_task_waits_for_a_slot(
    worker: Any, app: Any, suite: Suite, scratch: Path
) -> None:
    """Calls by `map` and `starmap`, as an error callback, by `apply` and as a function.

    All are made, none is one too many.
    """
    path = str(scratch / "calls")
    governed = {"task": "jobs.call", "args": [], "kwargs": {}, "options": {}}
    with app.connection_for_write() as connection:
        producer = connection.Producer(exchange=Exchange("warren", "topic"), routing_key="default")

        def send(task: str, body: Any) -> None:
            headers = {"task": task, "id": f"direct-{task}"}
            producer.publish(
                json.dumps(body),
                headers=headers,
                content_type="application/json",
                content_encoding="utf-8",
            )

        send("celery.map", [[], {"task": governed, "it": [path] * 3}, {}])
        send("celery.starmap", [[], {"task": governed, "it": [[path]] * 3}, {}])
        callback = {"task": "jobs.failed", "args": [], "kwargs": {"path": path}, "options": {}}
        send("jobs.act", [["1 / 0", path], {}, {"errbacks": [callback]}])
    app.send_task("jobs.act", ["call(path); call.apply([path])", path])
    app.send_task("jobs.call", [path])
    app.send_task("jobs.within", [path])
    until(lambda: len(calls(scratch / "calls")) >= 12, what="all calls")
    assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    made = calls(scratch / "calls")
    assert len(made) == 12
    assert worst(made, WINDOW) <= LIMIT
    assert worker.poll() is None


def test_a_governed_task_that_calls_another_one_does_not_wait_for_itself(
    suite: Suite, app: Any, scratch: Path
) -> None:
    """Under a limit of one the called body runs with the slot of the calling task.

    That task was admitted with the slot.
    """
    suite.write(INI.replace("limit = 2/2s", "limit = 1/1h"))
    suite.module(
        "jobs", JOBS.replace("    with quota", "    call(path)\n    return\n    with quota")
    )
    path = scratch / "calls"
    with suite.running("worker", "a"):
        asked = app.send_task("jobs.within", [str(path)])
        suite.await_event("worker", "task_succeeded", task_id=asked.id)
    assert len(calls(path)) == 1
