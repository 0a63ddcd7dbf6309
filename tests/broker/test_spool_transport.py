"""The embedded broker as kombu sees it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.asynchronous.hub import Hub
from kombu.exceptions import ChannelError, OperationalError

from support.wait import until
from warren.broker.names import owner

Connected = Callable[[], Any]
TASKS = Exchange("tasks", type="topic")
CRAWL = Queue("crawl", TASKS, routing_key="crawl.#")


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Connected]:
    """Makes connections to one embedded broker, and closes them."""
    made: list[Any] = []

    def connect() -> Any:
        connection = Connection("warren://", transport="warren.broker.spool:Transport", transport_options={"folder": tmp_path})
        made.append(connection)
        connection.connect()
        return connection

    yield connect
    for connection in made:
        connection.close()


def publish(connection: Any, body: object, routing_key: str = "crawl.page", exchange: Any = TASKS, **options: Any) -> None:
    """Publishes without declaring anything but the exchange."""
    Producer(connection.channel()).publish(body, exchange=exchange, routing_key=routing_key, declare=[exchange], **options)


def in_child(work: Callable[[], None]) -> int:
    """Runs `work()` in a forked process that ends like any; its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_publisher_need_not_know_the_queue(connected: Connected) -> None:
    """A message reaches the queue that another process declared and bound, through a topic exchange."""
    CRAWL(connected().channel()).declare()
    assert in_child(lambda: publish(connected(), {"n": 1})) == 0
    message = CRAWL(connected().channel()).get()
    assert message.payload == {"n": 1}
    assert message.delivery_info == {"exchange": "tasks", "routing_key": "crawl.page", "redelivered": False}
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
    """A fanout exchange gives each bound queue its own copy, also to two consumers on one channel."""
    exchange = Exchange("news", type="fanout")
    connection = connected()
    channel = connection.channel()
    queues = [Queue(name, exchange)(channel) for name in ("one", "two")]
    received: list[Any] = []
    with Consumer(channel, queues, callbacks=[lambda _, message: received.append(message)]):
        publish(connected(), "hello", "", exchange)
        connection.drain_events(timeout=5)
        connection.drain_events(timeout=5)
        assert len({message.delivery_tag for message in received}) == 2
        for message in received:
            message.ack()
    assert [queue.get() for queue in queues] == [None, None]


def test_a_message_for_nobody(connected: Connected) -> None:
    """A persistent message that no queue would get is refused to its publisher; transient ones and news may reach nobody."""
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
    assert [content["properties"]["delivery_info"]["routing_key"] for content in kept] == ["crawl.page"]


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
            connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        received[0].ack()
        connection.drain_events(timeout=5)
        assert [message.payload for message in received] == [0, 1, 2]


def test_closing_gives_back(connected: Connected) -> None:
    """A closed channel gives back what it had not settled, in order, and its late acknowledgements do nothing."""
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
    again = CRAWL(connection.channel())
    returned = [again.get(), again.get()]
    assert [(message.payload, message.delivery_info["redelivered"]) for message in returned] == [(0, True), (2, True)]
    assert again.get() is None


def test_a_forked_child_leaves_its_parents_messages(connected: Connected) -> None:
    """A child that closes every connection that it inherited gives back nothing of its parent's, and may use its own."""
    connection = connected()
    queue = CRAWL(connection.channel())
    queue.declare()
    publish(connection, 1)
    message = queue.get()

    def child() -> None:
        connection.close()
        publish(connected(), 2)
        assert CRAWL(connected().channel()).get().payload == 2  # and ends without acknowledging it

    assert in_child(child) == 0
    assert queue.get() is None
    message.ack()
    again = CRAWL(connected().channel()).get()  # to connect is to look for the dead
    assert (again.payload, again.delivery_info["redelivered"]) == (2, True)


def test_a_waiting_consumer_gets_what_the_dead_had(connected: Connected) -> None:
    """A consumer that merely waits gets the message of a process that died with it, within seconds."""
    connection = connected()
    received: list[Any] = []
    with Consumer(connection.channel(), [CRAWL], callbacks=[lambda _, message: received.append(message)]):
        publish(connection, 1)

        def child() -> None:
            assert CRAWL(connected().channel()).get().payload == 1

        assert in_child(child) == 0
        connection.drain_events(timeout=15)
    assert received[0].delivery_info["redelivered"]


def test_what_is_no_message_is_set_aside(connected: Connected, tmp_path: Path) -> None:
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
    assert sorted(path.read_bytes() for path in (tmp_path / "rejected" / "crawl").iterdir()) == sorted(bad)


def test_a_temporary_queue_goes_with_its_consumer(connected: Connected, tmp_path: Path) -> None:
    """An auto-delete queue is deleted when its consumer ends, so that reply queues do not pile up."""
    channel = connected().channel()
    news = Exchange("news", type="fanout")
    with Consumer(channel, [Queue("mine", news, auto_delete=True)], no_ack=True):
        assert (tmp_path / "queues" / "mine").exists()
    assert not (tmp_path / "queues" / "mine").exists()
    assert channel.list_bindings() == []


def spin(hub: Any, enough: Callable[[], object]) -> None:
    """Turns the hub until `enough()`."""

    def turned() -> object:
        hub.run_once()
        return enough()

    until(turned, 10, "the main loop to have done it")


def test_the_main_loop_takes_and_stops_with_the_connection(connected: Connected) -> None:
    """In an event loop messages arrive within the prefetch; reconnecting leaves one timer, and closing leaves none."""
    hub = Hub()
    received: list[Any] = []
    for number in range(3):
        connection = connected()
        connection.transport.register_with_event_loop(connection.connection, hub)
        connection.transport.register_with_event_loop(connection.connection, hub)
        channel = connection.channel()
        channel.basic_qos(0, 1, False)
        consumer = Consumer(channel, [CRAWL], callbacks=[lambda _, message: received.append(message)])
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


def test_an_error_of_the_disk_reaches_the_worker_as_one_of_the_connection(connected: Connected, tmp_path: Path) -> None:
    """A folder that cannot be used any more is an error on which Celery connects anew."""
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


def test_a_folder_that_cannot_be_made_is_an_error_of_the_connection(tmp_path: Path) -> None:
    """An embedded broker whose folder cannot be made says where and why."""
    (tmp_path / "file").write_bytes(b"")
    options = {"folder": tmp_path / "file" / "broker"}
    connection = Connection("warren://", transport="warren.broker.spool:Transport", transport_options=options)
    with pytest.raises(connection.connection_errors, match=r"embedded broker cannot use its folder.*file/broker"):
        connection.connect()
    assert connection.as_uri() == f"warren://{tmp_path}/file/broker"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("a small file system can only be mounted by root")
        pytest.skip("a small file system can only be mounted by root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=200", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(connection: Any) -> tuple[int, OSError]:
    """Publishes until the disk is full: how many messages, and the error after them."""
    for number in range(1000):
        try:
            publish(connection, {"n": number, "body": "x" * 20_000})
        except OSError as error:
            return number, error
    raise AssertionError("expected the disk to be full")


def test_a_full_disk(small_disk: Path) -> None:
    """On a full disk a publisher is told and nothing torn is left; what was published is all there, and is taken and settled."""
    options = {"folder": small_disk / "broker"}
    connection = Connection("warren://", transport="warren.broker.spool:Transport", transport_options=options)
    queue = CRAWL(connection.channel())
    queue.declare()
    published, error = fill(connection)
    assert published > 10
    assert "No space left on device; the message for queue 'crawl' was not stored: free space" in str(error)
    assert list((small_disk / "broker" / "incoming").iterdir()) == []
    producer = Producer(connection.channel())
    with pytest.raises(OperationalError, match="No space left"):
        producer.publish("x" * 20_000, exchange=TASKS, routing_key="crawl.page", retry=True, retry_policy={"max_retries": 1})
    begun = time.monotonic()
    for number in range(published):
        message = until(queue.get, 10, "a message, though the disk was full")
        assert message.payload["n"] == number
        message.ack()
    assert queue.get() is None
    assert time.monotonic() - begun < 30
    publish(connection, 1)
    assert queue.get().payload == 1
    assert [path.name for path in (small_disk / "broker" / "unacked").iterdir()] == [owner()]
    connection.close()
