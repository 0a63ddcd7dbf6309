"""Brokers that a test takes away for a while.

They are killed, so that their memory is lost and their disk stays, or hang.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from support.servers import RabbitMQNode, free_port, redis_server_at
from support.wait import let_pass, until

#: Takes the broker away for so many seconds; the word is `killed` or `hanging`.
Outage = Callable[[float, str], None]


@contextmanager
def rabbitmq_with_outages(directory: Path) -> Iterator[tuple[str, Outage]]:
    """A node of its own: its URL, and what takes it away."""
    node, server = RabbitMQNode(directory), ExitStack()

    def outage(seconds: float, how: str) -> None:
        found = re.search(r"\d+", node.ctl("eval", "os:getpid()."))
        assert found
        _away(int(found[0]), seconds, how, server, lambda: server.enter_context(node.running()))

    with server:
        server.enter_context(node.running())
        yield node.url, outage


@contextmanager
def redis_with_outages(directory: Path) -> Iterator[tuple[str, Outage]]:
    """A Redis that has on disk what it has answered: its URL, and what takes it away."""
    port, password, server = free_port(), secrets.token_hex(8), ExitStack()
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    client: Redis = Redis.from_url(url)

    def begin() -> None:
        server.enter_context(
            redis_server_at(directory, port, password, "appendonly yes", "appendfsync always")
        )
        until(lambda: _answers(client), what="Redis to have read its file")

    def outage(seconds: float, how: str) -> None:
        _away(int(client.info("server")["process_id"]), seconds, how, server, begin)

    with server:
        begin()
        yield url, outage


def _away(
    pid: int, seconds: float, how: str, server: ExitStack, begin: Callable[[], object]
) -> None:
    if how == "hanging":
        os.kill(pid, signal.SIGSTOP)
        let_pass(seconds)
        os.kill(pid, signal.SIGCONT)
        return
    os.kill(pid, signal.SIGKILL)
    server.close()
    let_pass(seconds)
    begin()


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False
