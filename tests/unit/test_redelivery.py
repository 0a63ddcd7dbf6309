"""Which redelivered messages are copied, and what happens when RabbitMQ takes no copy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from warren.worker.redelivery import COUNT, Redelivery
from warren.worker.requeue import Requeuer


class Stage:
    """Stands for the consumer and its copies."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []
        self.options: dict[str, Any] = {}
        self.run: list[Any] = []
        self.acknowledged: list[Any] = []
        self.keep_until_due = self.run.append
        self.renewal = Redelivery(cast(Requeuer, self))
        self.renewal.begin(self)

    def send(
        self, message: Any, exchange: str, routing_key: str, done: Any, **options: Any
    ) -> None:
        """The copies'."""
        self.given.append((message, exchange, routing_key, done))
        self.options = options

    def message(self, queue: str = "default", **headers: Any) -> Any:
        """A message of this queue, which was sent to another key."""
        info = {"queue": queue, "exchange": "warren", "routing_key": "own.key"}
        found = SimpleNamespace(headers={"id": "one", "task": "t", **headers}, delivery_info=info)
        found.ack = lambda: self.acknowledged.append(found)
        return found


@pytest.mark.parametrize("count", [None, 0, 1, -5, "9", 2.5, [3], True])
def test_what_came_back_once_or_never_runs_as_it_is(count: Any) -> None:
    """Also one whose sender wrote something else into that header."""
    stage = Stage()
    assert not stage.renewal.renew(stage.message(**{} if count is None else {COUNT: count}))
    assert stage.given == []


def test_one_of_a_queue_that_nobody_knows_runs_as_it_is() -> None:
    """Its copy would go nowhere."""
    stage = Stage()
    assert not stage.renewal.renew(stage.message("", **{COUNT: 2}))


@pytest.mark.parametrize("count", [2, 3, 20])
def test_what_came_back_twice_is_copied_and_then_acknowledged(count: int) -> None:
    """The copy goes to its own queue, with the address that the message was sent to.

    The message is not acknowledged before RabbitMQ has the copy.
    """
    stage = Stage()
    message = stage.message("default", **{COUNT: count})
    assert stage.renewal.renew(message)
    [(given, exchange, key, done)] = stage.given
    assert (given, exchange, key) == (message, "", "default")
    assert stage.options["headers"] == {"warren_address": ["warren", "own.key"]}
    assert stage.acknowledged == []
    done()
    assert stage.acknowledged == [message]
    assert stage.run == []


@pytest.mark.parametrize("reason", ["refused", "not_taken"])
def test_it_runs_when_rabbitmq_takes_no_copy(reason: str) -> None:
    """Under an alarm, or where the queue is full: it must not wait for the end of that."""
    stage = Stage()
    message = stage.message("default", **{COUNT: 2})
    stage.renewal.renew(message)
    stage.options[reason]()
    assert (stage.run, stage.acknowledged) == ([message], [])
