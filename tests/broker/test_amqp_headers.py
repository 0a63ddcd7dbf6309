"""Values of AMQP's tables that no Celery writes, in each header that is read.

They come through a real RabbitMQ.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.foul_senders import RabbitMQSender
from support.fuzz import Foul
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
from celery import shared_task

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
"""


def short(text: str) -> bytes:
    """A key of a table."""
    return struct.pack("B", len(text)) + text.encode()


def long(content: bytes) -> bytes:
    """A text, a table or an array, with its length."""
    return struct.pack(">I", len(content)) + content


#: Values of each kind that RabbitMQ takes, as they are written.
VALUES = {
    "decimal": b"D" + struct.pack(">Bi", 2, 314),
    "decimal of a huge scale": b"D" + struct.pack(">Bi", 255, -1),
    "timestamp": b"T" + struct.pack(">Q", 1_700_000_000),
    "timestamp beyond all calendars": b"T" + b"\xff" * 8,
    "bytes": b"x" + long(b"\xff\xfe"),
    "void": b"V",
    "table": b"F" + long(short("a") + b"F" + long(short("b") + b"V")),
    "array": b"A" + long(b"Vt\x01"),
    "truth": b"t\x01",
    "byte": b"b\x80",
    "long": b"l" + b"\x80" + bytes(7),
    "no number": b"d\x7f\xf8" + bytes(6),
    "infinity": b"d\x7f\xf0" + bytes(6),
    "no text": b"S" + long(b"\xff\xfe"),
}
FIELDS = [
    "task",
    "id",
    "eta",
    "expires",
    "retries",
    "timelimit",
    "lang",
    "argsrepr",
    "root_id",
    "parent_id",
    "group",
]
FIELDS += [
    "stamps",
    "x-death",
    "x-delivery-count",
    "compression",
    "ignore_result",
    "redelivered",
    "anything",
]
FIELDS += [
    "warren_crashes",
    "warren_address",
    "warren_tickets",
    "warren_sent_at",
    "warren_rejected",
]


def tables() -> Iterator[bytes]:
    """A table for each header and value, and some with a key that stands twice."""
    whole = {
        "task": b"S" + long(b"jobs.add"),
        "lang": b"S" + long(b"py"),
        "id": b"S" + long(b"some"),
    }
    for name in FIELDS:
        for value in VALUES.values():
            yield b"".join(short(key) + each for key, each in {**whole, name: value}.items())
    for name in whole:
        for value in VALUES.values():
            yield b"".join(
                short(key) + each for key, each in [(name, value), *whole.items(), (name, value)]
            )
    yield (
        short("x-death")
        + b"A"
        + long(b"F" + long(short("count") + b"l" + b"\xff" * 8 + short("queue") + b"V"))
    )


def test_any_value_in_any_header(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """Each message costs only itself: it runs, or is rejected with a reason.

    The same worker process takes the next one.
    """
    url = rabbitmq.add_vhost("headers")
    suite = Suite(
        scratch, broker_section(scratch, url) + "[worker:a]\nconcurrency = 1\n", modules="jobs"
    )
    suite.module("jobs", JOBS)
    app: Any = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        taken = RabbitMQSender(url).send(Foul(name="table", table=table) for table in tables())
        assert taken > 200

        def told() -> bool:
            ended = ("message_rejected", "task_succeeded", "task_revoked")
            return sum(len(suite.logged("worker", event)) for event in ended) >= taken

        until(told, what="a line for each")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        assert worker.poll() is None
    assert (suite.logged("worker", "broker_lost"), suite.logged("worker", "crashed")) == ([], [])
