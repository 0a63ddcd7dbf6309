"""Clients that write arbitrary messages over AMQP, into Redis' lists and into directories.

The directories are those of the embedded broker.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
from redis import Redis

from support.fuzz import Foul, payload
from warren.broker.embedded.file_names import message_name


class RedisSender:
    """Writes to the lists that are the queues."""

    def __init__(self, url: str, seed: int) -> None:
        self._redis: Redis = Redis.from_url(url)
        self._dice = random.Random(seed)

    def send(self, fouls: Iterable[Foul]) -> int:
        """Send them; how many a worker will get."""
        sent = 0
        for foul in fouls:
            self._redis.lpush(foul.key, payload(foul, self._dice))
            sent += 1
        return sent

    def left(self) -> int:
        """Messages in the queues, or with somebody."""
        counts: list[Any] = [
            self._redis.llen("default"),
            self._redis.llen("calls"),
            self._redis.hlen("unacked"),
        ]
        return sum(counts)


class DirectorySender:
    """Writes files, and what is none, into the directories that are the queues."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._queues, self._unacked = directory / "queues", directory / "unacked"
        self._dice = random.Random(seed)

    def send(self, fouls: Iterable[Foul]) -> int:
        """Send them; how many a worker will get."""
        sent = 0
        for foul in fouls:
            made = self._queues / f".{sent}"
            made.write_bytes(payload(foul, self._dice))
            os.rename(made, self._queues / foul.key / message_name())
            sent += 1
        return sent

    def plant(self) -> int:
        """Put things into a queue that are no files, and names that no broker gives."""
        queue = self._queues / "default"
        os.mkfifo(queue / "0-fifo")
        (queue / "0-link").symlink_to("/etc/passwd")
        (queue / "0-loop").symlink_to("0-loop")
        (queue / "0-directory").mkdir()
        (queue / "0-directory" / "x").write_bytes(b"")
        (queue / ("0" * 255)).write_bytes(b"{}")
        (Path(os.fsdecode(os.fsencode(queue) + b"/0-\xff\xfe"))).write_bytes(b"{}")
        with open(queue / "0-sparse", "wb") as file:
            file.truncate(10**12)
        return 7

    def left(self) -> int:
        """Messages in the queues, or with somebody."""
        return sum(
            1
            for directory in (self._queues, self._unacked)
            for path in directory.rglob("*")
            if not path.is_dir()
        )


class RabbitMQSender:
    """Publishes by py-amqp alone, with tables of its own making where a message has one."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._channel = self._open()

    def _open(self) -> Any:
        url = self._url
        vhost = unquote(url.path[1:]) or "/"
        self._connection = amqp.Connection(
            f"{url.hostname}:{url.port}",
            url.username,
            url.password,
            virtual_host=vhost,
            confirm_publish=True,
            read_timeout=60,
        )
        self._connection.connect()
        return self._connection.channel()

    def send(self, fouls: Iterable[Foul]) -> int:
        """Send them; how many RabbitMQ has taken.

        A table that it cannot read ends the connection of its sender.
        """
        sent = 0
        for foul in fouls:
            if foul.raw is not None:
                continue
            try:
                self._channel.basic_publish_confirm(
                    _message(foul), exchange="warren", routing_key=foul.key
                )
                sent += 1
            except (
                amqp.AMQPError,
                OSError,
                struct.error,
                ValueError,
                OverflowError,
                TypeError,
                RecursionError,
            ):
                with suppress(amqp.AMQPError, OSError):
                    self._connection.collect()
                self._channel = self._open()
        return sent

    def left(self) -> int:
        """Messages that are ready in the queues; what a worker has is not seen from here."""
        return sum(
            self._channel.queue_declare(name, passive=True).message_count
            for name in ("default", "calls")
        )


class _Raw(amqp.Message):
    """A message whose table of headers is written as it is."""

    table = b""

    def _serialize_properties(self) -> bytes:
        text = b"application/json"
        flags = struct.pack(">H", (1 << 15) | (1 << 13))
        return flags + bytes([len(text)]) + text + struct.pack(">I", len(self.table)) + self.table


def _message(foul: Foul) -> Any:
    if foul.table is not None:
        raw = _Raw(foul.body)
        raw.table = foul.table
        return raw
    known = {"priority": int, "delivery_mode": int, "correlation_id": str, "reply_to": str}
    properties = {
        name: value
        for name, value in foul.properties.items()
        if isinstance(value, known.get(name, ()))
    }
    return amqp.Message(
        foul.body,
        content_type=foul.content_type,
        content_encoding=foul.content_encoding,
        application_headers={name: _encodable(value) for name, value in foul.headers.items()},
        **{"delivery_mode": 2, **properties},
    )


def _encodable(value: Any) -> Any:
    """The value, or one like it that AMQP knows."""
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value
