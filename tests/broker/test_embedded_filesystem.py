"""The embedded broker on disks that are full, and on one whose power is cut."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import OperationalError

from support.disk import mounted, small_disk
from support.wait import TIMEOUT, run_to_end, until
from warren.broker.embedded.file_names import owner
from warren.broker.embedded.messages import Messages
from warren.broker.embedded.recovery import restore_dead
from warren.broker.embedded.topology import Topology

TASKS = Exchange("tasks", type="topic")
CRAWL = Queue("crawl", TASKS, routing_key="crawl.#")
_fork: Any = multiprocessing.get_context("fork")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    with small_disk(tmp_path / "small", "1m", inodes=200) as directory:
        yield directory


def publish(connection: Any, body: object) -> None:
    """Publishes to the queue, without trying again."""
    Producer(connection.channel()).publish(body, exchange=TASKS, routing_key="crawl.page")


def fill(connection: Any) -> tuple[int, OSError]:
    """Publishes until the disk is full: how many messages, and the error after them."""
    for number in range(1000):
        try:
            publish(connection, {"n": number, "body": "x" * 20_000})
        except OSError as error:
            return number, error
    raise AssertionError("expected the disk to be full")


def test_a_full_disk(disk: Path) -> None:
    """On a full disk a publisher is told and no torn file is left.

    What was published is all there, and is taken and settled.
    """
    options = {"directory": disk / "broker"}
    connection = Connection(
        "warren://",
        transport="warren.broker.embedded.transport:Transport",
        transport_options=options,
    )
    queue = CRAWL(connection.channel())
    queue.declare()
    published, error = fill(connection)
    assert published > 10
    assert (
        "No space left on device; the message for queue 'crawl' was not stored: free space"
        in str(error)
    )
    assert list((disk / "broker" / "incoming").iterdir()) == []
    producer = Producer(connection.channel())
    with pytest.raises(OperationalError, match="No space left"):
        producer.publish(
            "x" * 20_000,
            exchange=TASKS,
            routing_key="crawl.page",
            retry=True,
            retry_policy={"max_retries": 1},
        )
    for number in range(published):
        message = until(queue.get, what="a message, though the disk was full")
        assert message.payload["n"] == number
        message.ack()
    assert queue.get() is None
    publish(connection, 1)
    assert queue.get().payload == 1
    assert [path.name for path in (disk / "broker" / "unacked").iterdir()] == [owner()]
    connection.close()


def make(files: list[Path]) -> None:
    """Makes empty files."""
    for file in files:
        file.touch()


def test_a_full_disk_on_which_nothing_can_be_taken(disk: Path) -> None:
    """A consumer that cannot take on a full disk keeps its connection and waits.

    It takes when there is room.
    """
    options = {"directory": disk / "broker"}
    connection = Connection(
        "warren://",
        transport="warren.broker.embedded.transport:Transport",
        transport_options=options,
    )
    received: list[Any] = []
    with Consumer(
        connection.channel(), [CRAWL], callbacks=[lambda _, message: received.append(message)]
    ):
        publish(connection, 1)
        fillers = [disk / f"filler{number}" for number in range(1000)]
        with pytest.raises(OSError, match="No space left"):
            make(fillers)
        queue = disk / "broker" / "queues" / "crawl"
        until(
            lambda: time.time_ns() - queue.stat().st_mtime_ns > 200_000_000,
            what="the queue's directory to have settled",
        )
        with pytest.raises(TimeoutError):
            # load: nothing comes; its own directory for what it takes cannot be made
            connection.drain_events(timeout=0.3)
        for filler in fillers:
            filler.unlink(missing_ok=True)
        connection.drain_events(timeout=TIMEOUT)
        received[0].ack()
    connection.close()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_power_cut(tmp_path: Path, seed: int) -> None:
    """After a power cut the disk has, whole, every published message that was not done.

    Its publishing had returned.
    """
    image, log = tmp_path / "disk", tmp_path / "log"
    with open(image, "wb") as file:
        file.truncate(48 << 20)
    run_to_end(["mkfs.ext4", "-q", str(image)], check=True)
    with mounted(tmp_path / "running", "-o", "loop,commit=300", str(image)) as running:
        many = random.Random(seed).randrange(30, 120)
        worker = _fork.Process(
            target=_publish_and_take, args=(running, str(log), many), daemon=True
        )
        worker.start()
        worker.join()
        # The image has what was written to the disk, and nothing of what the kernel still holds
        # back.
        shutil.copyfile(image, tmp_path / "copy")
    events = [line.split() for line in log.read_bytes().splitlines()]
    published = {name for verb, name in events if verb == b"published"}
    done = {name for verb, name in events if verb == b"done"}
    with mounted(tmp_path / "again", "-o", "loop", str(tmp_path / "copy")) as directory:
        restore_dead(directory)
        found = [path.read_bytes() for path in (directory / "queues" / "crawl").iterdir()]
        assert all(content.endswith(b" end") for content in found)
        names = {content.split()[0] for content in found}
        assert published - done <= names
        assert len(published) == many
        assert len(published - done) > 15
        assert Topology(directory).route("tasks", "crawl.page") == ["crawl"]


def _publish_and_take(directory: Path, log: str, many: int) -> None:
    messages, topology = Messages(directory), Topology(directory)
    messages.open()
    topology.open()
    topology.declare_exchange("tasks", "topic")
    topology.declare_queue("crawl", temporary=False)
    topology.bind("tasks", "crawl.#", "crawl")
    with open(log, "ab", buffering=0) as lines:
        for serial in range(many):
            # taken, and perhaps never acknowledged
            tag = messages.take("crawl") if serial % 3 else None
            if tag and serial % 3 == 1:
                lines.write(b"done %s\n" % messages.read(tag).split()[0])
                messages.ack(tag)
            messages.put("crawl", b"%d " % serial + b"x" * 500 + b" end", durable=True)
            lines.write(b"published %d\n" % serial)
