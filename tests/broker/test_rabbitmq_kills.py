"""Workers and RabbitMQ that are killed: no task is lost.

It is a short form of `scripts/bench kills --broker rabbitmq`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.figures import Figure
from support.kills import Run


@pytest.mark.parametrize("broker", ["rabbitmq", "rabbitmq-classic"])
def test_kills_lose_nothing(scratch: Path, figure: Figure, broker: str) -> None:
    """Of 300 tasks each confirmed one runs, though a worker and RabbitMQ are killed.

    The worker is killed three times and RabbitMQ once; nothing stays behind.
    """
    found = Run(scratch, tasks=300, kills=3, server_kills=1, broker=broker)()
    figure(f"{broker}: tasks lost in 3 kill -9 of workers and 1 of RabbitMQ", len(found.lost), "0")
    figure(f"{broker}: tasks that ran twice in them", found.again, "few of 300")
    assert found.lost == []
    assert found.left == [0]
