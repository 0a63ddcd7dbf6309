"""Copies of messages that go back to their queue, with a real broker and Celery's event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Queue
from kombu.asynchronous import Hub

from support.servers import RabbitMQNode, free_port
from support.suite import Suite, broker_section
from support.wait import until
from warren.worker import publishing_connection
from warren.worker import requeue as module
from warren.worker.requeue import Requeuer

BODY = '[[1], {}, {"callbacks": null}]'


class Bench:
    """The parts of a worker that copies see: its app, its loop, its connection.

    It has a queue with one message as well.
    """

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name
        self.connection = app.connection_for_read(heartbeat=10)
        self.channel = self.connection.channel()
        self.hub = Hub()
        self._loop = self.hub.create_loop()
        self.requeuer = Requeuer()
        self.done: list[str] = []
        self.consumer = SimpleNamespace(
            app=app, hub=self.hub, connection=self.connection, amqheartbeat=10
        )

    def declare(self, **arguments: Any) -> None:
        """The queue."""
        Queue(self.name, durable=True, queue_arguments=arguments)(self.channel).declare()

    def take(self, word: str) -> Any:
        """A message of this task id, taken from the queue and not acknowledged."""
        with self.app.connection_for_write() as connection:
            connection.Producer().publish(
                BODY,
                routing_key=self.name,
                headers={"id": word},
                content_type="application/json",
                content_encoding="utf-8",
            )
        return until(self.get, what="the message")

    def get(self) -> Any:
        """The next message of the queue; None when there is none."""
        message = self.channel.basic_get(self.name)
        return message and self.channel.message_to_python(message)

    def send(self, message: Any, **headers: Any) -> None:
        """Gives it to the copies, as the gate does."""

        def done() -> None:
            message.ack()
            self.done.append(message.headers["id"])

        self.requeuer.send(message, "", self.name, done, lambda: None, headers)

    def step(self, condition: Callable[[], Any], what: str) -> None:
        """Turns the worker's loop until the condition holds."""

        def turned() -> Any:
            self.requeuer.step()
            if condition():
                return True
            self.hub.call_soon(lambda: None)  # the loop does not wait for what nobody sends
            next(self._loop)
            return condition()

        until(turned, what=what)


@pytest.fixture
def suite(rabbitmq: RabbitMQNode, scratch: Path) -> Suite:
    """The settings of an app on RabbitMQ."""
    return Suite(scratch, broker_section(scratch, rabbitmq.url) + "[worker:a]\n")


@pytest.fixture
def bench(app: Any, scratch: Path) -> Iterator[Bench]:
    """A bench with a queue of its own."""
    made = Bench(app, f"copies-{scratch.name[-8:]}")
    yield made
    made.requeuer.begin(made.consumer)  # drops what is open
    made.connection.collect()


def answers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the broker took each copy that it has answered for, as it answers."""
    found: list[bool] = []
    settled = bench.requeuer._settled

    def counted(copy: Any, taken: bool) -> None:
        found.append(taken)
        settled(copy, taken)

    monkeypatch.setattr(bench.requeuer, "_settled", counted)
    return found


def test_a_copy_arrives_and_then_its_message_is_acknowledged(bench: Bench) -> None:
    """The copy is the message with the headers added; the message itself is gone for good."""
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    bench.send(bench.take("one"), warren_crashes=1)
    bench.step(lambda: bench.done, what="the acknowledgement")
    copy = bench.get()
    assert (copy.body, copy.headers) == (BODY, {"id": "one", "warren_crashes": 1})
    bench.connection.collect()
    with bench.app.connection_for_read() as other:
        assert other.default_channel.basic_get(bench.name).headers["id"] == "one"
        assert other.default_channel.basic_get(bench.name) is None


def test_its_connection_lives_while_there_is_nothing_to_do(bench: Bench) -> None:
    """Through a pause of many heartbeats the broker keeps the connection.

    The next copy needs no new one.
    """
    bench.declare()
    bench.consumer.amqheartbeat = 1
    bench.requeuer.begin(bench.consumer)
    bench.send(bench.take("one"))
    bench.step(lambda: bench.done, what="the first copy")
    sock = bench.requeuer._connection.sock
    end = time.monotonic() + 5
    bench.step(lambda: time.monotonic() > end, what="the end of the pause")
    bench.send(bench.get())
    bench.step(lambda: len(bench.done) == 2, what="the second copy")
    assert bench.requeuer._connection.sock is sock


def test_a_connection_that_breaks_costs_no_task_and_no_other_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is cut off on its way is sent again.

    The task is there, and the consuming connection as well.
    """
    monkeypatch.setattr(publishing_connection, "RETRY", 0.5)
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    bench.send(bench.take("one"))
    bench.step(lambda: bench.done, what="the first copy")
    bench.send(bench.get())
    bench.requeuer._connection.sock.shutdown(2)
    bench.step(lambda: len(bench.done) == 2, what="the second copy, over a connection that is new")
    assert bench.connection.connected
    assert bench.get().headers["id"] == "one"


def test_a_broker_that_takes_no_new_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears nothing of it, and the message stays unacknowledged.

    The copy leaves once there is a connection.
    """
    monkeypatch.setattr(publishing_connection, "RETRY", 0.5)
    bench.declare()
    connection_for_write = bench.app.connection_for_write
    refused: list[float] = []

    def nobody(**options: Any) -> Any:
        refused.append(time.monotonic())
        return connection_for_write(f"amqp://127.0.0.1:{free_port()}//", **options)

    bench.consumer.app = SimpleNamespace(connection_for_write=nobody, conf=bench.app.conf)
    bench.requeuer.begin(bench.consumer)
    bench.send(bench.take("one"))
    bench.step(lambda: len(refused) == 3, what="three attempts")
    assert refused[-1] - refused[0] >= 1.0  # one after the other, not as fast as the loop turns
    assert not bench.done
    bench.consumer.app = bench.app
    bench.step(lambda: bench.done, what="the acknowledgement")


def test_a_queue_that_is_full(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused copy is tried again, a few times a second.

    Its message is not acknowledged before a copy is taken.
    """
    bench.declare(**{"x-max-length": 1, "x-overflow": "reject-publish"})
    bench.requeuer.begin(bench.consumer)
    held = bench.take("one")
    with bench.app.connection_for_write() as connection:
        connection.Producer().publish(BODY, routing_key=bench.name, headers={"id": "two"})
    bench.send(held)
    refused = answers(bench, monkeypatch)
    bench.step(lambda: len(refused) == 3, what="three refusals")
    assert not bench.done
    until(bench.get, what="the other message").ack()
    bench.step(lambda: bench.done, what="the acknowledgement")
    assert bench.get().headers["id"] == "one"


def test_an_end_waits_for_the_copy_that_is_with_the_broker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop begins no copy, and continues when the one on its way is confirmed.

    It also continues when there was no answer for too long.
    """
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    one, two = bench.take("one"), bench.take("two")
    monkeypatch.setattr(bench.requeuer, "_soon", lambda: None)  # only the test's own turns send
    bench.send(one)
    bench.send(two)
    bench.step(lambda: bench.requeuer._sent, what="a copy on its way")
    assert not bench.requeuer.end()
    with monkeypatch.context() as patched:
        patched.setattr(module, "CONFIRM", 0.0)
        assert bench.requeuer.end()
    bench.step(bench.requeuer.end, what="the end")
    assert bench.done == ["one"]
    end = time.monotonic() + 1
    bench.step(lambda: time.monotonic() > end, what="a second")
    assert bench.done == ["one"]


def test_a_message_of_a_connection_that_is_gone_is_not_copied(bench: Bench) -> None:
    """A task that ends after its connection broke is delivered again by the broker.

    With a copy it would be there twice.
    """
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    message = bench.take("one")
    bench.connection.collect()
    bench.channel = bench.connection.channel()
    bench.requeuer.begin(bench.consumer)
    bench.send(message)
    again = until(bench.get, what="the message itself")
    assert again.headers["id"] == "one"
    end = time.monotonic() + 1
    bench.step(lambda: time.monotonic() > end, what="a second")
    assert not bench.done
    assert bench.get() is None


def test_headers_that_no_frame_holds_end_no_connection(bench: Bench) -> None:
    """RabbitMQ would close it at each attempt, and the copies behind would wait for ever.

    It is kept in another way.
    """
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    bench.send(bench.take("one"))
    bench.step(lambda: bench.done, what="the first copy")
    sock = bench.requeuer._connection.sock
    largest = bench.channel.connection.frame_max - 1000
    found, refused = until(bench.get, what="the copy"), list[str]()
    for headers in (
        {"x": "y" * largest},
        {"n": list(range(largest // 4))},
        {"x" * 256: 1},
        {"x": 2**64},
    ):
        options: dict[str, Any] = {
            "headers": headers,
            "refused": lambda: refused.append("one"),
            "repeatable": True,
        }
        bench.requeuer.send(found, "", bench.name, found.ack, **options)
    bench.step(lambda: len(refused) == 4, what="all four refused")
    bench.send(found)
    bench.step(lambda: len(bench.done) == 2, what="the next copy")
    assert bench.requeuer._connection.sock is sock


def test_a_copy_goes_to_no_other_queue(bench: Bench) -> None:
    """A sender may name more of them in a header, which RabbitMQ would obey once more."""
    bench.declare()
    other = f"{bench.name}-other"
    Queue(other, durable=True)(bench.channel).declare()
    bench.requeuer.begin(bench.consumer)
    with bench.app.connection_for_write() as connection:
        connection.Producer().publish(
            BODY, routing_key=bench.name, headers={"id": "one", "CC": [other]}
        )
    until(lambda: bench.channel.basic_get(other, no_ack=True), what="the sender's own second one")
    bench.send(until(bench.get, what="the message"))
    bench.step(lambda: bench.done, what="the copy")
    assert bench.get().headers["id"] == "one"
    assert bench.channel.basic_get(other) is None


def test_one_that_is_not_taken_makes_way(bench: Bench) -> None:
    """Where its giver asks for it: its queue is not there, and others go on at once."""
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    found, passed = bench.take("one"), list[int]()
    for number in range(3):
        bench.requeuer.send(
            found, "", f"{bench.name}-gone", found.ack, not_taken=partial(passed.append, number)
        )
    bench.send(found)
    bench.step(lambda: bench.done, what="the copy")
    assert passed == [0, 1, 2]


def test_a_queue_that_is_gone_is_told_once_and_asked_after_pauses(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of its messages stays unacknowledged, and one of them asks for all.

    All go when the queue is there. Others go at once.
    """
    bench.declare()
    bench.requeuer.begin(bench.consumer)
    gone = f"{bench.name}-gone"
    held = [bench.take(word) for word in ("one", "two", "three")]
    asked = answers(bench, monkeypatch)
    for each in held:
        bench.requeuer.send(each, "", gone, partial(bench.done.append, each.headers["id"]))
    bench.step(lambda: len(asked) == 4, what="four refusals")
    assert bench.done == []
    assert caplog.text.count(gone) == 1
    bench.send(bench.take("other"))
    bench.step(lambda: bench.done == ["other"], what="the copy for a queue that is there")
    Queue(gone, durable=True)(bench.channel).declare()
    bench.step(lambda: len(bench.done) == 4, what="the others")
    found = [
        until(partial(bench.channel.basic_get, gone, no_ack=True), what="a copy").headers["id"]
        for _ in held
    ]
    assert sorted(found) == ["one", "three", "two"]
    assert bench.channel.basic_get(gone) is None
