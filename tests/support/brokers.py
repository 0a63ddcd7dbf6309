"""A broker of the test's own, by the name of its kind: what tests on each kind share."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from support.servers import RabbitMQNode
from support.suite import broker_section

#: Each kind of broker, and of queue where a broker has several.
KINDS = ("embedded", "quorum", "classic", "redis")


def own_url(request: pytest.FixtureRequest, scratch: Path, database: int) -> str:
    """Return the URL of the kind that the fixture was asked for; empty for the embedded broker.

    On RabbitMQ it has a virtual host of the test's own; on Redis the `database`, which is emptied:
    it is one file's alone.
    """
    if request.param in ("quorum", "classic"):
        node: RabbitMQNode = request.getfixturevalue("rabbitmq")
        return node.add_vhost(scratch.name)
    if request.param == "redis":
        url = str(request.getfixturevalue("redis_url")).removesuffix("/0") + f"/{database}"
        redis.Redis.from_url(url).flushdb()
        return url
    return ""


def own_section(request: pytest.FixtureRequest, scratch: Path, database: int) -> str:
    """Return the section [broker] of it."""
    url = own_url(request, scratch, database)
    section = broker_section(scratch, url) if url else "[broker]\n"
    return section + (
        f"queue_type = {request.param}\n" if request.param in ("quorum", "classic") else ""
    )
