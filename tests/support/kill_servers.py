"""Brokers that a run of kills (kills.py) starts, kills and starts again.

What they have confirmed is on disk.
"""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from kombu import Connection
from redis import Redis

from support.servers import RABBITMQ, RabbitMQNode, free_port, missing, redis_server_at
from support.suite import broker_section, descendants
from support.wait import end_of, until

#: Seconds for a broker to be back, or for a worker to begin.
TIMEOUT = 600.0


class Server(Protocol):
    """A broker of a run's own."""

    #: The section [broker] of the suite.
    section: str

    def start(self) -> None:
        """Start it, and return when it answers."""

    def kill(self) -> None:
        """Kill it with SIGKILL, and clear away what it leaves but its data."""

    def end(self) -> None:
        """End it."""

    def waiting(self) -> bool:
        """Whether messages are in the queue, or it cannot be asked."""

    def left(self) -> list[int]:
        """Return how many messages there are in all, by where they are.

        All are 0 when nothing stays behind.
        """


class KilledRedis:
    """A Redis that answers once its append-only file has what it says."""

    def __init__(self, directory: Path) -> None:
        self._port, self._password = free_port(), secrets.token_hex(8)
        self._directory = directory / "redis"
        self._directory.mkdir()
        url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        self.section = broker_section(directory, url)
        self._redis: Redis = Redis.from_url(url)
        self._running = ExitStack()

    def start(self) -> None:
        """Start it, and return when it has read its file."""
        on_disk = ("appendonly yes", "appendfsync always")
        self._running.enter_context(
            redis_server_at(self._directory, self._port, self._password, *on_disk)
        )
        until(self._answers, TIMEOUT, "Redis to have read its file")

    def kill(self) -> None:
        """Kill it."""
        os.kill(int(self._redis.info("server")["process_id"]), signal.SIGKILL)
        self._running.close()

    def end(self) -> None:
        """End it."""
        self._running.close()

    def waiting(self) -> bool:
        """Whether anything is in the queue or noted as taken."""
        return any(self.left())

    def left(self) -> list[int]:
        """Return the messages in the queue, those noted as taken, and those in their index."""
        try:
            return [
                self._redis.llen("default"),
                self._redis.hlen("unacked"),
                self._redis.zcard("unacked_index"),
            ]
        except Exception:  # noqa: BLE001  it loads its file, or does not listen yet
            return [-1]

    def _answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except Exception:  # noqa: BLE001  as above
            return False


class KilledRabbitMQ:
    """A RabbitMQ node with quorum queues, or with classic ones.

    Both are durable, and so are the messages.
    """

    def __init__(self, directory: Path, queue_type: str = "quorum") -> None:
        if not (RABBITMQ / "rabbitmq-server").exists():
            missing("rabbitmq-server")
        (directory / "rabbitmq").mkdir()
        self._node = RabbitMQNode(directory / "rabbitmq")
        self.section = broker_section(directory, self._node.url) + f"queue_type = {queue_type}\n"
        self._running = ExitStack()

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self._server = self._running.enter_context(self._node.running())

    def kill(self) -> None:
        """Kill the Erlang machine of this node.

        Of what this run has started, it is the one process of that program.
        """
        [machine] = [
            each for each in descendants(self._server.pid) if _program(each.pid) == "beam.smp"
        ]
        os.kill(machine.pid, signal.SIGKILL)
        end_of(self._server)  # the script around it
        self._running.close()

    def end(self) -> None:
        """End it."""
        self._running.close()

    def waiting(self) -> bool:
        """Whether messages wait in the queue.

        What a worker has is not among them: RabbitMQ's protocol does not tell.
        """
        try:
            with Connection(self._node.url, connect_timeout=TIMEOUT) as connection:
                return bool(
                    connection.default_channel.queue_declare("default", passive=True).message_count
                )
        except Exception:  # noqa: BLE001  it is not there yet, or the queue is not
            return True

    def left(self) -> list[int]:
        """Return the messages of each queue, acknowledged or not."""
        counts = [
            int(line.split()[-1])
            for line in self._node.ctl("list_queues", "messages", "--no-table-headers").splitlines()
        ]
        return counts if any(counts) else [0]


def _program(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return ""


def server(kind: str, directory: Path) -> Server:
    """Return the broker of this kind: redis, rabbitmq (quorum queues) or rabbitmq-classic."""
    if kind == "redis":
        return KilledRedis(directory)
    return KilledRabbitMQ(directory, "classic" if kind == "rabbitmq-classic" else "quorum")
