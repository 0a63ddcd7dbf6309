"""Garbage where beats keep leadership and last ticks: one beat leads and sends all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import until
from warren.app.factory import make_app
from warren.beat.leader.redis_leader import RedisLeader
from warren.broker.connect import reach
from warren.broker.redis.bindings import ASIDE
from warren.broker.redis.rejected_keys import MOST_KEPT
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.tick")
def tick():
    pass
"""
SCHEDULE = "[schedule:s]\ntask = jobs.tick\nevery = 2s\n"
LEADER, TICKS = "warren.beat.leader", "warren.beat.ticks"
#: What may stand under a key of Redis.
PLANTS: dict[str, Callable[[Any, str], object]] = {
    "a text without an end": lambda database, key: database.set(key, "x"),
    "a text for a year": lambda database, key: database.set(key, "x", ex=31_536_000),
    "a list": lambda database, key: database.lpush(key, "x"),
    "bytes": lambda database, key: database.set(key, b"\xff" * 1000),
    "deep": lambda database, key: database.set(key, "[" * 100_000),
    "huge": lambda database, key: database.set(key, "x" * 50_000_000),
}


def beats(scratch: Path, url: str) -> Suite:
    """A beat on the broker."""
    suite = Suite(scratch, broker_section(scratch, url) + SCHEDULE, modules="jobs")
    suite.module("jobs", JOBS)
    return suite


def sent(suite: Suite) -> int:
    """How many ticks were sent."""
    return len(suite.logged("beat", "tick_sent"))


def test_on_redis(scratch: Path, redis_url: str) -> None:
    """Whatever foreign value stands under the keys is moved away, also while beat leads.

    Beat continues to send.
    """
    url = redis_url.replace("/0", "/7")
    database: Redis = Redis.from_url(url)
    database.flushdb()
    database.set(LEADER, "x")
    database.lpush(TICKS, "x")
    suite = beats(scratch, url)
    with suite.running("beat") as beat:
        until(lambda: sent(suite), what="a tick")
        for plant in PLANTS.values():
            for key in (LEADER, TICKS):
                database.delete(key)
                plant(database, key)
            before = sent(suite)
            until(lambda before=before: sent(suite) >= before + 2, what="more ticks")  # type: ignore[misc]
        assert beat.poll() is None
    moved = suite.logged("beat", "key_rejected")
    assert {line["key"] for line in moved} >= {LEADER, TICKS}
    kept = {line["moved_to"] for line in moved}
    assert len(kept) == len(moved)  # none took the place of another
    assert all(database.exists(name) for name in kept)
    assert not suite.logged("beat", "crashed")


def test_garbage_is_kept_at_a_free_name(redis_url: str) -> None:
    """What is moved away replaces nothing that was moved before, up to a bound.

    A leader's own key is never moved.
    """
    url = redis_url.replace("/0", "/7")
    database: Any = Redis.from_url(url)
    database.flushdb()
    leader = RedisLeader(url, LEADER, TICKS)
    for number in range(MOST_KEPT + 2):
        database.set(LEADER, f"garbage {number}")
        assert leader.lead()
        assert leader.lead()  # and is renewed
    names = [ASIDE + LEADER, *(f"{ASIDE}{LEADER}.{number}" for number in range(1, MOST_KEPT))]
    texts = [b"garbage %d" % number for number in (*range(MOST_KEPT - 1), MOST_KEPT + 1)]
    assert database.mget(names) == texts
    assert len(database.keys(f"{ASIDE}*")) == MOST_KEPT
    assert not RedisLeader(url, LEADER, TICKS).lead()
    leader.resign()
    database.flushdb()


@pytest.mark.parametrize(
    "body", [b"", b"x", b"\xff", b"[" * 100_000, b'{"s": 1e999}', b'{"s": [1]}']
)
def test_on_rabbitmq(scratch: Path, rabbitmq: RabbitMQNode, body: bytes) -> None:
    """A foreign message in the queue of the last ticks counts as none.

    Beat sends, and keeps its own there.
    """
    suite = beats(scratch, rabbitmq.add_vhost(f"leader-{abs(hash(body))}"))
    app: Any = make_app(load(suite.etc))
    with reach(app) as connection:
        channel = connection.channel()
        arguments = {
            "x-max-length": 1,
            "x-overflow": "drop-head",
            "x-queue-type": app.conf.task_default_queue_type,
        }
        channel.queue_declare(TICKS, durable=True, auto_delete=False, arguments=arguments)
        channel.basic_publish(channel.prepare_message(body), exchange="", routing_key=TICKS)
    with suite.running("beat") as beat:
        until(lambda: sent(suite) >= 2, what="ticks")
        assert beat.poll() is None
    assert not suite.logged("beat", "crashed")


def test_the_type_of_queues_is_changed(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """When the queues were made again by `[broker] queue_type`, beat leads all the same.

    It knows its last ticks.
    """
    url = rabbitmq.add_vhost("leader-type")
    suite = beats(scratch, url)
    for kind in ("classic", "quorum"):
        suite.write(f"{broker_section(scratch, url)}queue_type = {kind}\n{SCHEDULE}")
        (suite.directory / "run" / "heartbeats" / "beat.json").unlink(missing_ok=True)
        with suite.running("beat"):
            before = sent(suite)
            until(lambda before=before: sent(suite) > before, what="ticks")  # type: ignore[misc]
        with reach(make_app(load(suite.etc))) as connection:
            connection.channel().queue_delete("default")
    last = suite.logged("beat", "leader_taken")[-1]["ticks"]["s"]
    assert last in [line["tick"] for line in suite.logged("beat", "tick_sent")]
    assert not suite.logged("beat", "tick_failed")
