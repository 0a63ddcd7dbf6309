"""Two beats whose leaders are killed and stopped: the balance of the ticks.

The long form is `scripts/bench ticks --faults`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from support.figures import Figure
from support.servers import RabbitMQNode
from support.tick_faults import Fleet, run


@pytest.fixture(params=["rabbitmq", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a broker that has nothing."""
    if request.param == "redis":
        found = str(request.getfixturevalue("redis_url")).replace("/0", "/8")
        Redis.from_url(found).flushdb()
        return found
    node: RabbitMQNode = request.getfixturevalue("rabbitmq")
    return node.add_vhost("tick-faults")


def test_each_tick_is_sent_or_told(scratch: Path, url: str, figure: Figure) -> None:
    """Ticks sent and ticks logged as missed are together the ticks that came due.

    None has two ids, whatever process is killed or stopped.
    """
    found = run(
        Fleet(scratch, url, "auto", entries=10, hosts=2),
        seconds=30,
        faults=4,
        outages=0,
        outage=None,
        longest=12,
    )
    assert found.sent + found.told == found.due
    assert (found.untold, found.told_but_sent, found.twice_under_two_ids) == (0, 0, 0)
    figure(
        "ticks of two beats, leaders killed twice and stopped twice: twice under one id",
        found.twice_under_one_id,
        "few",
    )
