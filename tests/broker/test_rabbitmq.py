"""Warren's connections to a real RabbitMQ: what they promise beside kombu's own."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from amqp import spec
from amqp.exceptions import MessageNacked, NotFound, RecoverableConnectionError
from kombu import Connection

from support.figures import Figure
from support.servers import RabbitMQNode
from support.wait import let_pass
from warren.broker.rabbitmq import answer_timeout
from warren.broker.rabbitmq.confirming_channel import NOWHERE, question
from warren.broker.rabbitmq.connection import register


@pytest.fixture
def connection(rabbitmq: RabbitMQNode) -> Iterator[Any]:
    """A connection that confirms."""
    register()
    options = {"confirm_publish": True, "publish_timeout": 5.0}
    with Connection(rabbitmq.url, transport_options=options, heartbeat=1) as made:
        yield made
        made.collect()


@pytest.fixture
def channel(connection: Any) -> Any:
    """A channel of it."""
    return connection.channel()


def queue(channel: Any, **arguments: Any) -> str:
    """A queue that goes with the connection."""
    name = f"rabbitmq-{secrets.token_hex(4)}"
    channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=arguments)
    return name


def test_no_answer_ends_the_wait_and_the_connection(
    channel: Any, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """What waits for an answer ends in time although heartbeats come.

    The connection is not asked to close.
    """
    monkeypatch.setattr(answer_timeout, "ANSWER", 2.0)
    connection, began = channel.connection, time.monotonic()
    assert connection.heartbeat == 1
    with pytest.raises(TimeoutError):
        channel.wait(spec.Queue.DeclareOk)  # nothing was asked
    took = time.monotonic() - began
    assert took >= 1.9
    figure("RabbitMQ does not answer: a wait of 2 s ends after", took, "2 s")
    assert not connection.connected


def test_a_wait_with_an_answer_leaves_no_limit_behind(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an answer the connection reads for as long as its reader likes."""
    monkeypatch.setattr(answer_timeout, "ANSWER", 1.0)
    queue(channel)
    let_pass(1.5)  # more than the time of an answer
    with pytest.raises(TimeoutError):
        channel.connection.drain_events(timeout=0.01)  # load: nothing comes
    assert channel.connection.connected
    channel.queue_declare(queue(channel), passive=True)


def test_what_is_sent_on_a_dropped_connection_is_sent_on_a_new_one(connection: Any) -> None:
    """kombu takes the error for a broken connection.

    With `retry` it connects again, without it says so.
    """
    producer = connection.Producer()
    # a persistent message has to reach a queue
    nobody = {
        "routing_key": NOWHERE,
        "delivery_mode": "transient",
    }
    producer.publish("one", **nobody)
    producer.channel.connection.collect()
    with pytest.raises(RecoverableConnectionError):
        producer.publish("two", **nobody)
    producer.publish("three", **nobody, retry=True, retry_policy={"max_retries": 1})


def test_each_confirmation_is_of_its_own_message(channel: Any) -> None:
    """Late answers to messages that were given up are not taken for the next one's.

    Several of them come at once.
    """
    full = queue(channel, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    said: list[tuple[int, bool]] = []
    for number in range(50):
        where = full if number % 2 else NOWHERE
        channel.publish_later(
            lambda taken, number=number: said.append((number, taken)), question(), routing_key=where
        )
    # taken, whatever became of the others
    channel.basic_publish(question(), routing_key=NOWHERE)
    with pytest.raises(MessageNacked):
        channel.basic_publish(question(), routing_key=full)
    assert sorted(said) == [(number, number % 2 == 0 or number == 1) for number in range(50)]


def test_a_channel_that_the_broker_has_closed_confirms_again(channel: Any) -> None:
    """A message to an exchange that does not exist costs its sender an error.

    The next message is confirmed.
    """
    with pytest.raises(NotFound):
        channel.basic_publish(question(), exchange="nobody", routing_key="x")
    name = queue(channel)
    channel.basic_publish(question(), routing_key=name)
    assert channel.basic_get(name).body == "?"


def test_closing_a_connection_that_is_cut_leaves_no_socket(connection: Any) -> None:
    """A connection whose other end is gone is let go of, however it had come to that."""
    under = connection.connection
    sock = under.sock
    sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError, match=r".*"):
        under.close()
    assert sock.fileno() == -1
