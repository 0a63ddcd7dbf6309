"""Messages that RabbitMQ confirms together: each has its own answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Producer, Queue

from support.alarm import alarm
from support.servers import RabbitMQNode
from support.suite import Suite, broker_section
from support.ticks import taken
from support.wait import TIMEOUT
from warren.app.factory import make_app
from warren.broker.batch_publish import BatchPublish
from warren.broker.publish_timeout import NotTaken
from warren.config import load

HERE, NOWHERE = "together", "together-nowhere"


@pytest.fixture
def app(scratch: Path, rabbitmq: RabbitMQNode) -> Any:
    """The app on a virtual host that has one queue."""
    url = rabbitmq.add_vhost(f"together-{scratch.name}")
    app = make_app(load(Suite(scratch, broker_section(scratch, url)).etc))
    with app.connection_for_write() as connection:
        Queue(HERE, durable=True)(connection.default_channel).declare()
    return app


@pytest.fixture
def channel(app: Any) -> Iterator[Any]:
    """A channel of a connection that is patient."""
    with app.connection_for_write(transport_options={"publish_timeout": TIMEOUT}) as connection:
        yield connection.channel()


def send(channel: Any, identity: str, queue: str = HERE, exchange: str = "") -> None:
    """Publishes a message as Celery does."""
    headers = {"id": identity}
    Producer(channel, auto_declare=False).publish(
        "[]",
        exchange=exchange,
        routing_key=queue,
        correlation_id=identity,
        headers=headers,
        delivery_mode=2,
    )


def test_each_has_its_answer(app: Any, channel: Any) -> None:
    """Of many that are sent at once those without a queue are refused, and the others are there."""
    for step in range(2):
        with BatchPublish(channel) as together:
            for number in range(100):
                send(channel, f"{step}.{number}", NOWHERE if number % 10 == 3 else HERE)
        together.wait()
        lost = {f"{step}.{number}" for number in range(3, 100, 10)}
        assert (together.refused, len(together.taken)) == (lost, 90)
    send(channel, "by itself")
    found = list(taken(app, HERE))
    assert len(found) == 181
    assert found[-1] == "by itself"


def test_a_channel_that_is_closed(app: Any, channel: Any) -> None:
    """When the broker closes the channel over one message, unanswered ones can be given up.

    The channel sends and confirms again.
    """
    together = BatchPublish(channel)

    def all_of_them() -> None:
        with together:
            send(channel, "a")
            send(channel, "b", exchange="there-is-none")
            send(channel, "c")  # may already be told of it
        together.wait()

    with pytest.raises(channel.connection.channel_errors):
        all_of_them()
    together.refuse_unanswered()
    together.wait()
    assert {"a", "b"} <= together.refused | together.taken
    assert "b" in together.refused
    send(channel, "d")
    with BatchPublish(channel) as again:
        send(channel, "e")
    again.wait()
    assert again.taken == {"e"}
    assert {"d", "e"} | together.taken <= set(taken(app, HERE))


def test_during_an_alarm(app: Any, channel: Any, rabbitmq: RabbitMQNode) -> None:
    """What was sent as the alarm began is answered when it is over.

    This happens on the same connection; nothing is sent meanwhile.
    """
    with BatchPublish(channel) as together:
        with alarm(rabbitmq):
            for number in range(10):
                send(channel, str(number))
            channel.connection.publish_timeout = 2.0
            with pytest.raises(NotTaken):
                together.wait()
            assert together.stands
            with pytest.raises(NotTaken):
                BatchPublish(channel)
        channel.connection.publish_timeout = TIMEOUT
        together.wait()
    assert together.taken == {str(number) for number in range(10)}
    assert list(taken(app, HERE)) == [str(number) for number in range(10)]
