"""What stands in the place of a task's result and is none, on Redis and on RabbitMQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kombu import Producer
from redis import Redis

from support.results import MALFORMED
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import TIMEOUT, result_of
from warren.app.factory import make_app
from warren.broker.connect import reach
from warren.broker.result_validation import UnreadableResult
from warren.cli import main
from warren.config import load
from warren.errors import ExitCode

KEY = "celery-task-meta-known"
JOBS = """
from celery import current_app, shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.foul", bind=True, ignore_result=True)
def foul(self):
    with current_app.connection_for_write() as connection:
        connection.Producer().publish(
            "x", routing_key=self.request.reply_to, correlation_id=self.request.id,
            content_type="application/json",
            content_encoding="utf-8",
        )
"""


def call(suite: Suite) -> int:
    """The exit code of `warren call --wait` in this process."""
    try:
        return main(["--config", str(suite.etc), "call", "jobs.add", "1", "2", "--wait", "60s"])
    except SystemExit as end:
        return int(end.code or 0)


def test_on_redis(
    scratch: Path,
    redis_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`get()` has an error of its own, and `warren call` ends with 65 and one line."""
    url = redis_url.replace("/0", "/8")
    database: Redis = Redis.from_url(url)
    database.flushdb()
    suite = Suite(scratch, broker_section(scratch, url))
    app: Any = make_app(load(suite.etc))
    monkeypatch.setattr("celery.app.base.uuid", lambda: "known")
    for found in MALFORMED:
        database.set(KEY, found)
        with pytest.raises(UnreadableResult, match="the result of known cannot be read"):
            app.AsyncResult("known").get(timeout=TIMEOUT)
    for plant in (lambda: database.set(KEY, MALFORMED[0]), lambda: database.hset(KEY, "a", "b")):
        database.delete(KEY)
        plant()
        assert call(suite) == ExitCode.DATAERR
        said = capfd.readouterr().err
        assert said.startswith("the result of known cannot be read: ")
        assert len(said.splitlines()) == 1


def test_announced_on_redis(scratch: Path, redis_url: str) -> None:
    """An announcement that is no result costs nobody the result that comes."""
    url = redis_url.replace("/0", "/8")
    database: Redis = Redis.from_url(url)
    database.flushdb()
    suite = Suite(
        scratch, broker_section(scratch, url) + "[worker:a]\nconcurrency = 1\n", modules="jobs"
    )
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    asked = app.send_task("jobs.add", [1, 2])
    app.backend.add_pending_result(asked)
    for found in MALFORMED:
        assert database.publish(f"celery-task-meta-{asked.id}", found)
    with suite.running("worker", "a"):
        assert result_of(asked) == 3
        for number, found in enumerate(MALFORMED):
            database.set(f"celery-task-meta-late-{number}", found)
            late = app.send_task(
                "jobs.add", [number, 1], task_id=f"late-{number}", ignore_result=False
            )
            suite.await_event("worker", "task_succeeded", task_id=late.id)
            assert result_of(late) == number + 1  # what was there gave way


def test_replies_on_rabbitmq(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """A reply that is none is an error of the task that it names, and of no other one."""
    suite = Suite(
        scratch,
        broker_section(scratch, rabbitmq.add_vhost("malformed")) + "[worker:a]\nconcurrency = 1\n",
        "jobs",
    )
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    good = app.send_task("jobs.add", [1, 2])
    with reach(app) as connection:
        producer = Producer(connection.channel())
        for number, found in enumerate(MALFORMED):
            if b'"another"' in found or found.startswith(b"\x00"):
                continue
            bad = app.AsyncResult(f"bad-{number}")
            app.backend.add_pending_result(bad)
            to = {
                "routing_key": app.backend.oid,
                "content_type": "application/json",
                "content_encoding": "utf-8",
            }
            producer.publish(found.replace(b"known", bad.id.encode()), correlation_id=bad.id, **to)
            producer.publish(found, **to)
            with pytest.raises(UnreadableResult, match=f"the result of {bad.id} cannot be read"):
                bad.get(timeout=TIMEOUT)
    with suite.running("worker", "a"):
        assert result_of(good) == 3
        called = suite.warren("call", "jobs.foul", "--wait", "60s")
    assert called.returncode == ExitCode.DATAERR, called.stderr
    assert "cannot be read" in called.stderr
    assert "Traceback" not in called.stderr
