"""How a worker ends: when nothing is left, or its time is over, and no copy is with the broker."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from warren.worker.drain import Drain


class Copies:
    """Copies of which one is on its way to the broker until `there`."""

    there = False

    def end(self) -> bool:
        """As the real ones."""
        return self.there


class Running:
    """A running task."""


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Celery keeps what a worker does in a module."""
    yield
    state.should_stop = state.should_terminate = None
    state.reserved_requests.clear()


@pytest.fixture
def copies() -> Copies:
    """Copies of a worker."""
    return Copies()


@pytest.fixture
def drain(copies: Copies) -> Drain:
    """A drain of a worker that has these."""
    return Drain(SimpleNamespace(closed=False), copies)  # type: ignore[arg-type]


def consumer() -> Any:
    """A consumer without a connection."""
    return SimpleNamespace(task_consumer=None, cancel_active_requests=lambda: None)


def test_an_idle_worker_waits_for_a_copy_that_is_with_the_broker(drain: Drain, copies: Copies) -> None:
    """It ended before the confirmation, its message would come back as well, and the task would run twice."""
    drain.begin(30.0, "test")
    drain.turn(consumer())
    assert state.should_stop is None
    copies.there = True
    drain.turn(consumer())
    assert state.should_stop == 0


def test_so_does_a_worker_whose_time_is_over(drain: Drain, copies: Copies) -> None:
    """Running tasks are handed back when the copy is settled, which takes a moment."""
    running = Running()
    state.reserved_requests.add(running)
    drain.begin(0.0, "test")
    drain.turn(consumer())
    assert state.should_terminate is None
    copies.there = True
    drain.turn(consumer())
    assert state.should_terminate == 0
