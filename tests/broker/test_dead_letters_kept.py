"""Dead letters by the thousand, and on a disk that is full; on each broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import redis

from support.disk import fill, small_disk
from support.sample import SAMPLE
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import let_pass, result_of, until
from warren.app.factory import make_app
from warren.broker.embedded.file_names import message_name
from warren.broker.queue_names import REJECTED
from warren.broker.rejection_limits import MOST, MOST_BYTES
from warren.config import load


def make(scratch: Path, broker: str) -> Suite:
    """A worker of one queue."""
    suite = Suite(
        scratch, f"{broker}[queue:default]\ntasks = *\n[worker:a]\n[results]\n", modules="jobs"
    )
    suite.module("jobs", SAMPLE)
    return suite


def foul(app: Any) -> None:
    """Send a message that nobody can run."""
    with app.connection_for_write() as connection:
        connection.Producer().publish(
            {"no": "task"}, routing_key="default", priority=3, delivery_mode=2
        )


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_rabbitmq_keeps_so_many_and_drops_the_oldest(
    scratch: Path, rabbitmq: RabbitMQNode, kind: str
) -> None:
    """The queue of dead letters is declared with both bounds."""
    vhost = scratch.name
    suite = make(
        scratch, broker_section(scratch, rabbitmq.add_vhost(vhost)) + f"queue_type = {kind}\n"
    )
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        said = rabbitmq.ctl("list_queues", "-p", vhost, "name", "arguments")
    (line,) = [line for line in said.splitlines() if line.startswith(REJECTED)]
    # RabbitMQ 4 drops what was looked at 20 times
    assert ('"x-delivery-limit",1000000' in line) == (kind == "quorum"), line
    for name, value in (
        ("x-max-length", MOST),
        ("x-max-length-bytes", MOST_BYTES),
        ("x-overflow", "drop-head"),
    ):
        assert (
            f'"{name}",{value}' in line.replace('"drop-head"', "drop-head")
            or f'"{name}","{value}"' in line
        ), line


def test_redis_keeps_so_many_and_drops_the_oldest(scratch: Path, redis_url: str) -> None:
    """Beyond the bound the oldest dead letters are dropped, and counted in the log.

    The new one is there.
    """
    url = redis_url.removesuffix("/0") + "/8"
    server: Any = redis.Redis.from_url(url)
    server.flushdb()
    server.lpush(REJECTED, *(str(number) for number in range(MOST + 50)))
    suite = make(scratch, broker_section(scratch, url))
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        foul(app)
        said = suite.await_event("worker", "rejected_dropped")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert (said["messages"], said["place"]) == (51, REJECTED)
    assert server.llen(REJECTED) == MOST
    assert b"warren_rejected" in server.lindex(REJECTED, 0)  # whatever its priority was
    assert server.lindex(REJECTED, -1) == b"51"


def test_the_embedded_broker_keeps_so_many_and_drops_the_oldest(scratch: Path) -> None:
    """The same for its files, over all queues."""
    suite = make(scratch, "")
    directory = suite.directory / "state" / "broker" / "rejected" / "default"
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        directory.mkdir()
        for number in range(MOST + 50):
            (directory / f"{number:06}").touch()
        foul(app)
        said = suite.await_event("worker", "rejected_dropped")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
    assert said["messages"] == 51
    names = sorted(os.listdir(directory))
    assert len(names) == MOST
    assert "warren_rejected" in "".join(
        path.read_text(encoding="utf-8") for path in directory.iterdir() if path.stat().st_size
    )


def test_on_a_full_disk_dead_letters_wait_and_good_tasks_run(scratch: Path) -> None:
    """The worker looks at each once, says so once, continues, and keeps them when there is room."""
    suite = make(scratch, "")
    with small_disk(suite.directory / "state" / "broker", "2m") as disk:
        app = make_app(load(suite.etc))
        with suite.running("worker", "a"):
            suite.await_event("worker", "ready")
            assert result_of(app.send_task("jobs.add", [1, 2])) == 3
            queue = disk / "queues" / "default"
            for number in range(20):  # some of which nobody can even read
                (queue / f".foul{number}").write_bytes(b'{"no": "message"}' if number % 2 else FOUL)
            filler = fill(disk)
            for number in range(20):
                (queue / f".foul{number}").rename(queue / message_name())
            suite.await_event("worker", "cannot_keep")
            until(lambda: _taken(suite) >= 11, what="all of them taken that can be read")
            let_pass(3)
            assert _taken(suite) == 11  # none came a second time
            filler.unlink()
            rejected = disk / "rejected" / "default"
            until(
                lambda: rejected.is_dir() and len(os.listdir(rejected)) == 20,
                what="all of them kept",
            )
            assert result_of(app.send_task("jobs.add", [1, 2])) == 3
            # one of the broker, one of the worker
            assert len(suite.logged("worker", "cannot_keep")) <= 2
            assert not suite.logged("worker", "broker_lost")


FOUL = (
    b'{"body": "x", "headers": {}, "content-type": "application/json", "content-encoding": '
    b'"utf-8", '
    b'"properties": {"delivery_info": {"exchange": "warren", "routing_key": "default"}}}'
)


def _taken(suite: Suite) -> int:
    return int((suite.heartbeat("worker-a") or {"details": {}})["details"].get("taken", 0))
