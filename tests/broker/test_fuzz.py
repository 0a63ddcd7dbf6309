"""No message stops a worker: the corpus of the review and fuzzed ones, on each broker.

Long form: scripts/bench fuzz.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.figures import Figure
from support.fuzz_run import LIMIT, run
from support.servers import RabbitMQNode

MESSAGES = 2000


@pytest.mark.parametrize("broker", ["embedded", "redis", "rabbitmq", "rabbitmq-classic"])
def test_no_message_stops_a_worker(
    broker: str, scratch: Path, request: pytest.FixtureRequest, figure: Figure
) -> None:
    """The same worker process takes the next good message.

    Each bad one has a line, and no call is without a slot.
    """
    url = ""
    if broker == "redis":
        url = request.getfixturevalue("redis_url").replace("/0", "/7")
    elif broker.startswith("rabbitmq"):
        node: RabbitMQNode = request.getfixturevalue("rabbitmq")
        url = node.add_vhost(scratch.name)
    found = run(scratch, broker, url, MESSAGES, seed=1)
    figure(
        f"{broker}: the good message behind 500 bad ones",
        found.slowest_good_s,
        "5 s on a quiet machine",
    )
    figure(f"{broker}: {found.sent} messages", found.took_s, "no limit")
    assert found.worker_ends == 0
    assert found.rejected + found.ended == found.sent
    assert found.rejected > found.sent / 3
    assert 0 < found.calls <= found.admitted
    assert found.worst_window <= LIMIT
