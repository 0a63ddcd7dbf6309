"""How a worker ends: when nothing is left, or its time is over, and no copy is with the broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from warren.logs import setup
from warren.worker import callbacks
from warren.worker.callbacks import Callbacks
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
def requeuer() -> Copies:
    """Copies of a worker."""
    return Copies()


@pytest.fixture
def drain(requeuer: Copies) -> Drain:
    """A drain of a worker that has these."""
    return Drain(SimpleNamespace(closed=False), requeuer, Callbacks(), lambda seconds: None)  # type: ignore[arg-type]


def consumer() -> Any:
    """A consumer without a connection."""
    return SimpleNamespace(task_consumer=None, cancel_active_requests=lambda: None)


@pytest.mark.parametrize(
    ("running", "timeout", "ends_by"),
    [([], 30.0, "should_stop"), ([Running()], 0.0, "should_terminate")],
    ids=["idle", "out of time"],
)
def test_a_worker_waits_for_a_copy_that_is_with_the_broker(
    drain: Drain, requeuer: Copies, running: list[Running], timeout: float, ends_by: str
) -> None:
    """The worker waits for the confirmation.

    If it ended before that, the message would be delivered as well, and its task would run twice.

    An idle worker stops then; one whose time is over hands back what still runs.
    """
    state.reserved_requests.update(running)
    drain.begin(timeout, "test")
    drain.step(consumer())
    assert getattr(state, ends_by) is None
    requeuer.there = True
    drain.step(consumer())
    assert getattr(state, ends_by) == 0


class Pool:
    """A pool that is given what follows, and does it when it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, Any]] = []

    def apply_async(self, function: Any, arguments: Any, **callbacks: Any) -> Any:
        """As Celery's."""
        job = SimpleNamespace()
        self.given.append((job, callbacks["callback"]))
        return job


@pytest.mark.parametrize("ends", ["stop", "broker away"])
def test_a_worker_waits_for_what_follows_a_task(drain: Drain, requeuer: Copies, ends: str) -> None:
    """It is in the pool alone: no broker has it. It stays there when a connection ends."""
    pool, requeuer.there = Pool(), True
    drain._callbacks.pool = lambda: pool
    drain._callbacks._hand_over(
        callbacks._Following("x", "jobs.x", held=False), print, (), print, print
    )
    [(job, done)] = pool.given
    assert job.stays
    drain.begin(30.0, "test")
    step = drain.step if ends == "stop" else drain.step_without_broker
    step(consumer())
    assert state.should_stop is None
    done(None)
    step(consumer())
    assert state.should_stop == 0


@pytest.mark.parametrize("held", [False, True])
def test_what_follows_a_task_is_told_when_a_stop_cuts_it_off(
    drain: Drain, requeuer: Copies, tmp_path: Path, held: bool
) -> None:
    """The worker stores the failure itself and logs what was not called.

    Otherwise the message is delivered again.
    """
    setup.configure("worker", "worker-a", "h", tmp_path)
    stored: list[str] = []
    pool, requeuer.there = Pool(), True
    pending = drain._callbacks
    pending.pool = lambda: pool
    following = callbacks._Following("x", "jobs.x", held, lambda: stored.append("x"))
    pending._hand_over(following, print, (), print, print)
    drain.begin(0.0, "test")
    state.reserved_requests.update([running := Running()])
    drain.step(consumer())
    assert state.should_terminate == 0
    assert running in state.reserved_requests
    setup.end()
    told = [
        json.loads(line)
        for line in (tmp_path / "worker.log").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["event"] for line in told if "task_id" in line] == [
        "task_requeued" if held else "callbacks_failed"
    ]
    assert stored == ([] if held else ["x"])
    assert not pending.running


def test_a_connection_that_ends_lets_a_unacknowledged_message_come_again(
    drain: Drain, requeuer: Copies
) -> None:
    """The pool forgets what follows such a task, and the worker does not wait for it."""
    pool, requeuer.there = Pool(), True
    drain._callbacks.pool = lambda: pool
    drain._callbacks._hand_over(
        callbacks._Following("x", "jobs.x", held=True), print, (), print, print
    )
    [(job, _)] = pool.given
    job.on_discard()
    drain.begin(30.0, "test")
    drain.step(consumer())
    assert state.should_stop == 0
