"""The embedded broker as kombu sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.asynchronous.hub import Hub
from kombu.exceptions import ChannelError, OperationalError

from support.forks import child, end
from support.wait import TIMEOUT, until
from warren.broker.embedded.recovery import restore_dead

Connected = Callable[[], Any]
TASKS = Exchange("tasks", type="topic")
CRAWL = Queue("crawl", TASKS, routing_key="crawl.#")


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Connected]:
    """Makes connections to one embedded broker, and closes them."""
    made: list[Any] = []

    def connect() -> Any:
        connection = Connection(
            "warren://",
            transport="warren.broker.embedded.transport:Transport",
            transport_options={"directory": tmp_path},
        )
        made.append(connection)
        connection.connect()
        return connection

    yield connect
    for connection in made:
        connection.close()


def publish(
    connection: Any,
    body: object,
    routing_key: str = "crawl.page",
    exchange: Any = TASKS,
    **options: Any,
) -> None:
    """Publishes without declaring anything but the exchange."""
    Producer(connection.channel()).publish(
        body, exchange=exchange, routing_key=routing_key, declare=[exchange], **options
    )


def test_a_publisher_need_not_know_the_queue(connected: Connected) -> None:
    """A message through a topic exchange reaches the queue that another process bound."""
    CRAWL(connected().channel()).declare()
    assert end(child(lambda: publish(connected(), {"n": 1}))) == 0
    message = CRAWL(connected().channel()).get()
    assert message.payload == {"n": 1}
    assert message.delivery_info == {
        "exchange": "tasks",
        "routing_key": "crawl.page",
        "redelivered": False,
    }
    message.ack()


@pytest.mark.parametrize("body", [{"a": "ä\u0000"}, ["x" * 100_000], None, 0])
def test_any_body(connected: Connected, body: object) -> None:
    """What is published arrives, whatever JSON holds it; a binary body too."""
    connection = connected()
    queue = CRAWL(connection.channel())
    queue.declare()
    publish(connection, body)
    assert queue.get(no_ack=True).payload == body
    publish(connection, b"\x00\xff", content_type="application/data", content_encoding="binary")
    assert queue.get(no_ack=True).body == b"\x00\xff"
    assert queue.get() is None


def test_fanout_reaches_every_queue(connected: Connected) -> None:
    """A fanout exchange gives each bound queue its own copy.

    This holds also for two consumers on one channel.
    """
    exchange = Exchange("news", type="fanout")
    connection = connected()
    channel = connection.channel()
    queues = [Queue(name, exchange)(channel) for name in ("one", "two")]
    received: list[Any] = []
    with Consumer(channel, queues, callbacks=[lambda _, message: received.append(message)]):
        publish(connected(), "hello", "", exchange)
        connection.drain_events(timeout=TIMEOUT)
        connection.drain_events(timeout=TIMEOUT)
        assert len({message.delivery_tag for message in received}) == 2
        for message in received:
            message.ack()
    assert [queue.get() for queue in queues] == [None, None]


def test_a_message_for_nobody(connected: Connected) -> None:
    """A persistent message that no queue would get is refused to its publisher.

    Transient messages and news may reach no queue.
    """
    CRAWL(connected().channel()).declare()
    with pytest.raises(OperationalError, match=r"NO_ROUTE.*'tasks'.*'download'"):
        publish(connected(), 1, "download")
    with pytest.raises(ChannelError, match="NO_ROUTE"):
        publish(connected(), 1, "nowhere", Exchange(""))
    publish(connected(), 1, "download", delivery_mode=1)
    publish(connected(), 1, "", Exchange("news", type="fanout"))


def test_an_exchange_has_one_type(connected: Connected) -> None:
    """An exchange declared again with another type is refused, as RabbitMQ does."""
    TASKS(connected().channel()).declare()
    with pytest.raises(ChannelError, match="expected type topic, found direct"):
        Exchange("tasks", type="direct")(connected().channel()).declare()


def test_what_is_not_there_is_said(connected: Connected) -> None:
    """Asking for a queue or an exchange that nobody declared is a channel error 404."""
    channel = connected().channel()
    for declare in (channel.queue_declare, channel.exchange_declare):
        with pytest.raises(ChannelError) as caught:
            declare("q", passive=True)
        assert caught.value.reply_code == 404
    channel.queue_declare("q")
    publish(connected(), 1, "q", Exchange(""))
    assert channel.queue_declare("q", passive=True).message_count == 1
    assert channel.queue_purge("q") == 1


def test_requeue_and_reject(connected: Connected, tmp_path: Path) -> None:
    """A requeued message comes again first, marked redelivered; a rejected one is kept aside."""
    connection = connected()
    queue = CRAWL(connection.channel())
    queue.declare()
    for number in (1, 2):
        publish(connection, number)
    queue.get().requeue()
    message = queue.get()
    assert (message.payload, message.delivery_info["redelivered"]) == (1, True)
    message.reject()
    assert queue.get().payload == 2
    kept = [json.loads(path.read_bytes()) for path in (tmp_path / "rejected" / "crawl").iterdir()]
    assert [content["properties"]["delivery_info"]["routing_key"] for content in kept] == [
        "crawl.page"
    ]


def test_prefetch_is_respected(connected: Connected) -> None:
    """A consumer gets no more than its prefetch count, until it acknowledges."""
    connection = connected()
    channel = connection.channel()
    channel.basic_qos(0, 2, False)
    received: list[Any] = []
    with Consumer(channel, [CRAWL], callbacks=[lambda _, message: received.append(message)]):
        for number in range(4):
            publish(connection, number)
        for _ in range(2):
            connection.drain_events(timeout=TIMEOUT)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)  # load: nothing comes, however long it is awaited
        received[0].ack()
        connection.drain_events(timeout=TIMEOUT)
        assert [message.payload for message in received] == [0, 1, 2]


def test_closing_requeues(connected: Connected, tmp_path: Path) -> None:
    """A closed channel requeues what it had not settled, in order.

    Its late acknowledgements do nothing.
    """
    connection = connected()
    channel = connection.channel()
    queue = CRAWL(channel)
    queue.declare()
    for number in range(3):
        publish(connection, number)
    messages = [queue.get() for _ in range(3)]
    messages[1].ack()
    channel.close()
    messages[0].ack()
    assert not [path for path in (tmp_path / "unacked").rglob("*") if path.is_file()]
    again = CRAWL(connection.channel())
    returned = [again.get(), again.get()]
    assert [(message.payload, message.delivery_info["redelivered"]) for message in returned] == [
        (0, True),
        (2, True),
    ]
    assert again.get() is None


def test_a_forked_child_leaves_its_parents_messages(connected: Connected, tmp_path: Path) -> None:
    """A child that closes every inherited connection requeues nothing of its parent's.

    It may use its own.
    """
    connection = connected()
    queue = CRAWL(connection.channel())
    queue.declare()
    publish(connection, 1)
    message = queue.get()

    def take() -> None:
        connection.close()
        publish(connected(), 2)
        assert CRAWL(connected().channel()).get().payload == 2  # and ends without acknowledging it

    assert end(child(take)) == 0
    assert queue.get() is None
    message.ack()
    assert restore_dead(tmp_path) == 1
    again = CRAWL(connected().channel()).get()
    assert (again.payload, again.delivery_info["redelivered"]) == (2, True)


def test_a_waiting_consumer_gets_what_the_dead_had(connected: Connected) -> None:
    """A waiting consumer gets the message of a process that died with it, within seconds."""
    connection = connected()
    received: list[Any] = []
    with Consumer(
        connection.channel(), [CRAWL], callbacks=[lambda _, message: received.append(message)]
    ):
        publish(connection, 1)

        def take() -> None:
            assert CRAWL(connected().channel()).get().payload == 1

        assert end(child(take)) == 0
        connection.drain_events(timeout=TIMEOUT)
    assert received[0].delivery_info["redelivered"]


def test_what_is_no_message_is_moved_away(connected: Connected, tmp_path: Path) -> None:
    """Foreign and torn files in a queue are set aside, and the messages behind them arrive."""
    connection = connected()
    queue = CRAWL(connection.channel())
    queue.declare()
    body = b'{"body": "x", "properties": {"body_encoding": "base64", "delivery_info": {}}}'
    headers = b'{"body": "", "headers": [], "properties": {"delivery_info": {}}}'
    bad = [b"", b"{", b"\xff", b"[]", b'{"body": "x"}', body, headers]
    for number, content in enumerate(bad):
        (tmp_path / "queues" / "crawl" / f"000{number}").write_bytes(content)
    publish(connection, 1)
    assert queue.get().payload == 1
    assert sorted(
        path.read_bytes() for path in (tmp_path / "rejected" / "crawl").iterdir()
    ) == sorted(bad)


def test_a_temporary_queue_goes_with_its_consumer(connected: Connected, tmp_path: Path) -> None:
    """An auto-delete queue is deleted when its consumer ends.

    So reply queues do not pile up.
    """
    news = Exchange("news", type="fanout")
    connection = connected()
    channel = connection.channel()
    received: list[Any] = []
    mine = Queue("mine", news, auto_delete=True)
    with Consumer(
        channel, [mine], no_ack=True, callbacks=[lambda _, message: received.append(message)]
    ):
        publish(connection, 1, "", news)
        connection.drain_events(timeout=TIMEOUT)
        assert received[0].payload == 1
        assert (tmp_path / "queues" / "mine").exists()
        assert not [path for path in (tmp_path / "unacked").rglob("*") if path.is_file()]
    assert not (tmp_path / "queues" / "mine").exists()
    assert channel.list_bindings() == []


def spin(hub: Any, enough: Callable[[], object]) -> None:
    """Turns the hub until `enough()`."""

    def turned() -> object:
        hub.run_once()
        return enough()

    until(turned, what="the main loop to have done it")


def test_the_main_loop_takes_and_stops_with_the_connection(connected: Connected) -> None:
    """In an event loop messages arrive within the prefetch.

    Reconnecting leaves one timer, and closing leaves none.
    """
    hub = Hub()
    received: list[Any] = []
    for number in range(3):
        connection = connected()
        connection.transport.register_with_event_loop(connection.connection, hub)
        connection.transport.register_with_event_loop(connection.connection, hub)
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        consumer = Consumer(
            channel, [CRAWL], callbacks=[lambda _, message: received.append(message)]
        )
        consumer.consume()
        publish(connection, number)
        publish(connection, number)
        spin(hub, lambda: len(received) == 1)
        assert len([entry for entry in hub.timer.queue if not entry.entry.canceled]) == 1
        received.pop().ack()
        spin(hub, lambda: len(received) == 1)
        received.pop().ack()
        connection.close()
        assert not hub.on_tick
        assert not [entry for entry in hub.timer.queue if not entry.entry.canceled]
    hub.close()


def test_an_acknowledgement_lets_the_next_message_in_at_once(connected: Connected) -> None:
    """After an acknowledgement the main loop takes the next message at once.

    It does not wait for its next poll.
    """
    hub = Hub()
    connection = connected()
    connection.transport.polling_interval = 60
    connection.transport.register_with_event_loop(connection.connection, hub)
    channel = connection.channel()
    channel.basic_qos(0, 1, False)
    received: list[Any] = []
    Consumer(channel, [CRAWL], callbacks=[lambda _, message: received.append(message)]).consume()
    for number in range(20):
        publish(connection, number)
    for number in range(20):
        spin(hub, lambda: received)  # fails when it takes 10 s
        message = received.pop()
        assert message.payload == number
        message.ack()
    hub.close()


def test_an_error_of_the_disk_reaches_the_worker_as_one_of_the_connection(
    connected: Connected, tmp_path: Path
) -> None:
    """A directory that cannot be used any more is an error on which Celery connects again."""
    connection = connected()
    hub = Hub()
    connection.transport.register_with_event_loop(connection.connection, hub)
    Consumer(connection.channel(), [CRAWL], callbacks=[lambda *_: None]).consume()
    os.rename(tmp_path / "queues", tmp_path / "away")
    (tmp_path / "queues").write_bytes(b"")
    with pytest.raises(connection.connection_errors):
        spin(hub, lambda: False)
    (tmp_path / "queues").unlink()
    os.rename(tmp_path / "away", tmp_path / "queues")
    hub.close()


def test_a_directory_that_cannot_be_made_is_an_error_of_the_connection(tmp_path: Path) -> None:
    """An embedded broker whose directory cannot be made says where and why."""
    (tmp_path / "file").write_bytes(b"")
    options = {"directory": tmp_path / "file" / "broker"}
    connection = Connection(
        "warren://",
        transport="warren.broker.embedded.transport:Transport",
        transport_options=options,
    )
    with pytest.raises(
        connection.connection_errors, match=r"embedded broker cannot use its directory.*file/broker"
    ):
        connection.connect()
    assert connection.as_uri() == f"warren://{tmp_path}/file/broker"
