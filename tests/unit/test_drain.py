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
    return Drain(SimpleNamespace(closed=False), copies, lambda seconds: None)  # type: ignore[arg-type]


def consumer() -> Any:
    """A consumer without a connection."""
    return SimpleNamespace(task_consumer=None, cancel_active_requests=lambda: None)


@pytest.mark.parametrize(
    ("running", "timeout", "ends_by"),
    [([], 30.0, "should_stop"), ([Running()], 0.0, "should_terminate")],
    ids=["idle", "out of time"],
)
def test_a_worker_waits_for_a_copy_that_is_with_the_broker(
    drain: Drain, copies: Copies, running: list[Running], timeout: float, ends_by: str
) -> None:
    """It ended before the confirmation, that message would come back as well, and its task would run twice.

    An idle worker stops then; one whose time is over hands back what still runs.
    """
    state.reserved_requests.update(running)
    drain.begin(timeout, "test")
    drain.turn(consumer())
    assert getattr(state, ends_by) is None
    copies.there = True
    drain.turn(consumer())
    assert getattr(state, ends_by) == 0
