"""Room in the prefetch for messages that stay unacknowledged for a while."""

from __future__ import annotations

import pytest
from celery.utils.objects import Bunch
from kombu.common import QoS

from warren.worker.prefetch_room import PrefetchRoom, raising_at_once


@pytest.mark.parametrize("most", [None, 6])
def test_the_prefetch_is_raised_and_is_as_before_afterwards(most: int | None) -> None:
    """Also where `worker_eta_task_limit` lets it be raised by less than was asked for."""
    qos, room = QoS(lambda prefetch_count: None, 4, max_prefetch=most), PrefetchRoom()
    room.begin(Bunch(qos=qos))
    for wanted in (1, 5, 3, 100, 0):
        room.make(wanted)
        assert 4 <= qos.value <= 4 + wanted
        assert most is not None or qos.value == 4 + wanted
    assert qos.value == 4


def test_a_raised_prefetch_counts_at_once() -> None:
    """After a message that is kept the next one is taken in the same step of the main loop."""
    told: list[int] = []
    qos = QoS(lambda prefetch_count: told.append(prefetch_count), 2)
    qos.update()
    connection = Bunch(transport=Bunch(driver_type="redis"))
    handle = raising_at_once(
        Bunch(qos=qos, connection=connection),
        lambda message: message and qos.increment_eventually(),
    )
    for kept in (True, False, True):
        handle(kept)
    assert told == [2, 3, 4]
