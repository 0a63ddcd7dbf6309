"""On which brokers a worker may raise the prefetch of its classic queues."""

from __future__ import annotations

from typing import Any

import pytest
from amqp.exceptions import AMQPNotImplementedError

from warren.worker.prefetch import ask_for_raisable


class Connection:
    """A connection to a broker of this kind and version.

    A clone of it is refused what it asks for, or not; kombu says no.
    """

    def __init__(
        self, driver: str, product: str, version: str, error: Exception | None = None
    ) -> None:
        self.transport = type("Transport", (), {"driver_type": driver})()
        self.transport.qos_semantics_matches_spec = lambda connection: True
        self.connection = type(
            "Amqp", (), {"server_properties": {"product": product, "version": version}}
        )
        self.asked = 0
        self._error = error

    @property
    def qos_semantics_matches_spec(self) -> bool:
        return bool(self.transport.qos_semantics_matches_spec(self.connection))

    def clone(self) -> Any:
        return self

    def connect(self) -> None:
        pass

    def channel(self) -> Any:
        return self

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def basic_qos(self, _size: int, _count: int, globally: bool) -> None:
        assert globally
        self.asked += 1
        if self._error:
            raise self._error


def raisable(connection: Connection, queue_type: str = "classic") -> bool:
    """Whether the prefetch can be raised once the worker has looked."""
    queue = type("Queue", (), {"queue_arguments": {"x-queue-type": queue_type}})
    ask_for_raisable(
        type("App", (), {"amqp": type("Amqp", (), {"queues": {"default": queue}})}), connection
    )
    return not connection.qos_semantics_matches_spec


@pytest.mark.parametrize(
    ("driver", "product", "version", "may"),
    [
        ("amqp", "RabbitMQ", "4.0.5", True),
        ("amqp", "RabbitMQ", "4.2.0-rc.1", True),
        ("amqp", "RabbitMQ", "4.3.0", False),
        ("amqp", "RabbitMQ", "5.0.0", False),
        ("amqp", "RabbitMQ", "", False),
        ("amqp", "other", "4.0.5", False),
        ("redis", "RabbitMQ", "4.0.5", False),
    ],
)
def test_who_may_grant_it(driver: str, product: str, version: str, may: bool) -> None:
    """RabbitMQ 4.0 to 4.2 do; a later one, and what is no RabbitMQ, is not even asked."""
    connection = Connection(driver, product, version)
    assert raisable(connection) is may
    assert connection.asked == may


def test_a_quorum_queue_has_none() -> None:
    """Nobody is asked."""
    connection = Connection("amqp", "RabbitMQ", "4.0.5")
    assert not raisable(connection, "quorum")
    assert not connection.asked


@pytest.mark.parametrize("error", [AMQPNotImplementedError("global_qos"), ConnectionResetError()])
def test_a_refusal_costs_nothing(error: Exception) -> None:
    """A broker that forbids it ends the connection that asks, and no other.

    The prefetch stays the consumers' own.
    """
    assert not raisable(Connection("amqp", "RabbitMQ", "4.0.5", error))
