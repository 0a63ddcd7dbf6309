"""broker.json: what a real quota-watchdog publishes of a broker that is well or has a fault.

The broker is full, hung or gone.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from support.servers import RabbitMQNode, free_port, redis_server_at
from support.suite import Suite
from support.wait import TIMEOUT, until
from warren.app.factory import make_app
from warren.broker.alarms import alarms
from warren.broker.connect import reach
from warren.broker.transport_profiles import Kind
from warren.config import load

#: Seconds of silence after which a daemon counts as hung, with the option's default.
HEARTBEAT_TIMEOUT = 20
TASK = "from celery import shared_task\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n"


def made(directory: Path, url: str = "") -> Suite:
    """A suite with a queue of its own, on the broker of that URL or the embedded one."""
    queue = f"jobs-{directory.name[-8:]}"
    sections = (
        f"[queue:{queue}]\ntasks = jobs.*\n[worker:a]\nqueues = {queue}, "
        "default\n[quota:site]\nlimit = 60/10s\n"
    )
    suite = Suite(directory, f"[broker]\nurl = {url}\n{sections}", modules="jobs")
    suite.module("jobs", TASK)
    return suite


def broker_status(suite: Suite) -> dict[str, Any]:
    """What broker.json says; empty before there is one."""
    path = suite.directory / "run" / "broker.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@contextmanager
def watched(suite: Suite) -> Iterator[None]:
    """The suite's quota-watchdog, which sees a broker that answers."""
    with suite.running("quota-watchdog"):
        broker(suite, lambda broker: broker["reachable"] and not broker["alarms"])
        yield


def broker(suite: Suite, says: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """What the broker status says of the broker, once it is as wanted.

    Meanwhile the watchdog's own loop never stands still.
    """

    def seen() -> dict[str, Any] | None:
        heartbeat, now = suite.heartbeat("quota-watchdog"), time.clock_gettime(time.CLOCK_BOOTTIME)
        assert (
            heartbeat is None
            or heartbeat["state"] != "ready"
            or now - heartbeat["at"] < HEARTBEAT_TIMEOUT
        ), "the watchdog waits for the broker"
        found: dict[str, Any] | None = broker_status(suite).get("broker")
        return found if found and says(found) else None

    return (
        until(seen, what=f"another broker status than {broker_status(suite).get('broker')}") or {}
    )


def test_alarm_of_rabbitmq(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """A disk alarm is seen with its reason, without any right to administer.

    It is logged once, and its end as well.
    """
    suite = made(scratch, rabbitmq.url)
    with watched(suite):
        try:
            rabbitmq.ctl("set_disk_free_limit", "1000000GB")
            assert broker(suite, lambda broker: broker["alarms"]) | {"asked_at": 0} == {
                "same_name": False,
                "kind": "rabbitmq",
                "reachable": True,
                "reason": "",
                "alarms": ["low on disk"],
                "asked_at": 0,
            }
            again = broker(suite, lambda broker: broker["alarms"])["asked_at"]
            broker(suite, lambda broker: broker["asked_at"] > again)
        finally:
            rabbitmq.ctl("set_disk_free_limit", "50MB")
        broker(suite, lambda broker: broker["reachable"] and not broker["alarms"])
    assert [line["alarm"] for line in suite.logged("quota-watchdog", "broker_alarm")] == [
        "low on disk"
    ]
    assert len(suite.logged("quota-watchdog", "broker_alarm_cleared")) == 1


def test_the_first_of_two_urls_is_gone(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """The connections of the watchdog go to the next URL with all that they need there.

    RabbitMQ drops the connection of a watchdog whose host lost its power: it has heartbeats.
    """
    app = make_app(load(made(scratch, f"amqp://127.0.0.1:{free_port()}//;{rabbitmq.url}").etc))
    with reach(app, TIMEOUT, Kind.MONITOR) as found, alarms(app, "rabbitmq", found) as raised:
        assert found.connection.heartbeat == 60
        assert raised() == ()


def test_user_of_rabbitmq_with_few_rights(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """A user who may not publish to the exchange without a name sees the queues.

    He hears of no alarm; this is no outage.
    """
    password = secrets.token_hex(8)
    rabbitmq.ctl("add_user", "narrow", password)
    try:
        rabbitmq.ctl("set_permissions", "narrow", ".*", "^warren$", ".*")
        suite = made(
            scratch, rabbitmq.url.replace(f"warren:{rabbitmq.password}", f"narrow:{password}")
        )
        with watched(suite):
            seen = broker_status(suite)["broker"]["asked_at"]
            assert broker(suite, lambda broker: broker["asked_at"] > seen + 6)["reachable"]
        assert not suite.logged("quota-watchdog", "broker_unreachable")
    finally:
        rabbitmq.ctl("delete_user", "narrow")


def test_rabbitmq_that_stops(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """A broker that goes away is logged once, with the reason.

    It is asked again when it is back.
    """
    suite = made(scratch, rabbitmq.url)
    with watched(suite):
        try:
            rabbitmq.ctl("stop_app")
            away = broker(suite, lambda broker: not broker["reachable"])
            assert "the broker does not answer: " in away["reason"]
            assert rabbitmq.password not in away["reason"]
            assert broker_status(suite)["quotas"]["site"]["free"] == 60
            assert {queue["messages"] for queue in broker_status(suite)["queues"].values()} == {
                None
            }
        finally:
            rabbitmq.ctl("start_app")
        broker(suite, lambda broker: broker["reachable"])
    assert len(suite.logged("quota-watchdog", "broker_unreachable")) == 1
    assert len(suite.logged("quota-watchdog", "broker_connected")) == 2


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own."""
    port, password = free_port(), secrets.token_hex(8)
    with redis_server_at(tmp_path, port, password):
        yield Redis(port=port, password=password)


def url_of(redis: Redis) -> str:
    """The URL under which a suite uses it."""
    known = redis.connection_pool.connection_kwargs
    return f"redis://:{known['password']}@127.0.0.1:{known['port']}/0"


def test_redis_that_takes_nothing(scratch: Path, redis: Redis) -> None:
    """A Redis without memory, or one that became a replica, is an alarm in its own words."""
    suite = made(scratch, url_of(redis))
    with watched(suite):
        redis.config_set("maxmemory", 1)
        assert "maxmemory" in broker(suite, lambda broker: broker["alarms"])["alarms"][0]
        redis.config_set("maxmemory", 0)
        broker(suite, lambda broker: not broker["alarms"])
        redis.replicaof("127.0.0.1", free_port())
        assert "read only" in broker(suite, lambda broker: broker["alarms"])["alarms"][0]
        redis.replicaof("NO", "ONE")
        broker(suite, lambda broker: not broker["alarms"])


def test_redis_that_hangs(scratch: Path, redis: Redis) -> None:
    """A broker that takes connections and answers nothing is away.

    The watchdog continues with its own work.
    """
    suite = made(scratch, url_of(redis))
    pid = redis.info("server")["process_id"]
    with watched(suite):
        try:
            os.kill(pid, signal.SIGSTOP)
            assert "Timeout" in broker(suite, lambda broker: not broker["reachable"])["reason"]
        finally:
            os.kill(pid, signal.SIGCONT)
        broker(suite, lambda broker: broker["reachable"])


def test_rabbitmq_that_hangs(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """The same for RabbitMQ."""
    suite = made(scratch, rabbitmq.url)
    pid = int(rabbitmq.ctl("eval", "os:getpid().").strip().strip('"'))
    with watched(suite):
        try:
            os.kill(pid, signal.SIGSTOP)
            reason = broker(suite, lambda broker: not broker["reachable"])["reason"]
            # of an answer, or of the attempt to connect after it
            assert "TimeoutError" in reason or "timed out" in reason
        finally:
            os.kill(pid, signal.SIGCONT)
        broker(suite, lambda broker: broker["reachable"])


@pytest.mark.parametrize("kind", ["embedded", "redis_url", "rabbitmq"])
def test_depth_of_the_queues(scratch: Path, request: pytest.FixtureRequest, kind: str) -> None:
    """Each queue's messages are counted, on each kind of broker, before any worker runs.

    The quotas stand beside them.
    """
    found = "" if kind == "embedded" else request.getfixturevalue(kind)
    suite = made(scratch, getattr(found, "url", found))
    app = make_app(load(suite.etc))
    for _ in range(5):
        app.send_task("jobs.tick")
    with suite.running("quota-watchdog"):
        until(lambda: _depth(suite) == 5, what="five messages")
        said = broker_status(suite)["quotas"]["site"]
    assert {
        name: said[name]
        for name in ("limit", "window_s", "free", "open", "cooling", "used", "next_free_s", "level")
    } == {
        "limit": 60,
        "window_s": 10.0,
        "free": 60,
        "open": 0,
        "cooling": 0,
        "used": 0,
        "next_free_s": 0.0,
        "level": 0,
    }


def _depth(suite: Suite) -> int | None:
    queue: dict[str, Any] = (
        broker_status(suite).get("queues", {}).get(f"jobs-{suite.directory.name[-8:]}", {})
    )
    return queue.get("messages")


def test_a_full_queue_is_told_once(scratch: Path) -> None:
    """A queue above a level of [health] is one event, however often it is looked at.

    It is one more when it is below again.
    """
    suite = made(scratch)
    queue = f"jobs-{scratch.name[-8:]}"
    suite.write(
        "[quota-watchdog]\nbroker_interval = 1s\n[health]\nqueue_warning = "
        f"5\n[queue:{queue}]\ntasks = jobs.*\n"
        f"[worker:a]\nqueues = {queue}, default\n"
    )
    app = make_app(load(suite.etc))
    for _ in range(5):
        app.send_task("jobs.tick")
    with suite.running("quota-watchdog"):
        told = suite.await_event("quota-watchdog", "backlog_grows", queue=queue)
        assert (told["messages"], told["critical"]) == (5, False)
        # the file follows the event
        seen = broker(suite, lambda broker: broker["reachable"])["asked_at"]
        broker(suite, lambda broker: broker["asked_at"] > seen + 2)
        assert broker_status(suite)["queues"][queue]["level"] == 1
        app.connection_for_write().default_channel.queue_purge(queue)
        suite.await_event("quota-watchdog", "backlog_shrinks", queue=queue)
    assert len(suite.logged("quota-watchdog", "backlog_grows")) == 1


def test_results_on_another_server(scratch: Path, redis: Redis) -> None:
    """A Redis of the results that fails is critical though the broker is well.

    It takes no writes, hangs or is gone, and this is logged once.
    """
    suite = made(scratch)
    suite.write(
        (suite.etc / "warren.ini").read_text("utf-8").removeprefix(suite.head)
        + f"[results]\nurl = {url_of(redis)}\n"
    )
    pid = redis.info("server")["process_id"]

    def last_error(arguments: str) -> bool:
        found = broker_status(suite).get("results", {"reason": "unknown"})["reason"]
        return (arguments in found) if arguments else not found

    with watched(suite):
        until(lambda: last_error(""), what="results that are kept")
        redis.config_set("maxmemory", 1)
        until(lambda: last_error("maxmemory"), what="the refusal")
        redis.config_set("maxmemory", 0)
        until(lambda: last_error(""), what="results that are kept again")
        try:
            os.kill(pid, signal.SIGSTOP)
            until(lambda: last_error("Timeout"), what="the silence")
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: last_error(""), what="results that are kept at last")
        redis.shutdown(nosave=True)
        until(lambda: last_error("refused"), what="the end")
        assert broker(suite, lambda broker: broker["reachable"])
    assert len(suite.logged("quota-watchdog", "results_not_stored")) == 3
    assert len(suite.logged("quota-watchdog", "results_stored")) == 2


def test_results_with_the_broker_are_not_watched(scratch: Path) -> None:
    """Where no other server keeps them, the broker's own word is enough."""
    suite = made(scratch)
    with watched(suite):
        assert "results" not in broker_status(suite)
