"""How long a worker keeps a message whose task it does not have, before it requeues it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from celery.utils.objects import Bunch

from warren.worker.message_copy import FIRST_PAUSE
from warren.worker.requeue import Requeuer
from warren.worker.unknown_tasks import RETURNS, UnknownTasks


class Consumer:
    """Notes for how long messages are kept; its prefetch has `places`."""

    restart_count = 0

    def __init__(self, places: int) -> None:
        self.initial_prefetch_count = places
        self.timer = self
        self.pauses: list[float] = []

    def call_after(self, pause: float, *_: Any) -> None:
        """Stands for the timer of the main loop."""
        self.pauses.append(pause)


def pauses(places: int, *headers: dict[str, Any]) -> list[float]:
    """For how long messages with these headers are kept, one after the other."""
    consumer, unknown = Consumer(places), UnknownTasks(Requeuer(), 300.0, lambda *_: None)
    for each in headers:
        assert unknown.send_on(consumer, Bunch(headers={"task": "nobody", "id": "1", **each}))
    return consumer.pauses


def back(returns: int, ago: float) -> dict[str, Any]:
    """Return the header of a message that was returned so often.

    The last return was so many seconds ago.
    """
    now = time.time()
    return {RETURNS: [returns, now - 100.0, now - ago]}


def test_half_of_the_prefetch_keeps_first_comers_and_the_rest_goes_round_at_once() -> None:
    """A flood of them does not hold up the good ones behind it."""
    assert pauses(4, {}, {}, {}, {}) == [FIRST_PAUSE, FIRST_PAUSE, 0.0, 0.0]


def test_one_that_was_long_in_the_queue_goes_round_at_once() -> None:
    """The way through a long queue is pause enough.

    Through a short queue it is not, or the worker would spin.
    """
    assert pauses(8, back(3, ago=60.0), back(3, ago=0.0)) == [0.0, FIRST_PAUSE * 8]
    assert pauses(0, back(3, ago=60.0), back(3, ago=0.0)) == [0.0, FIRST_PAUSE]


@pytest.mark.parametrize(
    "header",
    [None, 5, [1, 2], [1, 2, "x"], [-1, 0, 0], [1, 1e12, 0], [1, 0, 1e12], [float("nan")] * 3],
)
def test_a_header_of_another_shape_counts_as_none(header: Any) -> None:
    """Whoever sends it gains no time."""
    assert pauses(4, {RETURNS: header}) == [FIRST_PAUSE]
