"""The message directories of the embedded broker."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest
from kombu import Connection

from support.wait import until
from warren.broker.embedded.file_names import directory_name, owner, returns_of
from warren.broker.embedded.messages import Messages, NoQueue
from warren.broker.embedded.recovery import restore_dead
from warren.broker.embedded.topology import Topology
from warren.broker.queue_depth import depths_over


def taken(messages: Messages, queue: str = "q") -> list[bytes]:
    """Everything that can be taken now, acknowledged at once."""
    contents = []
    while (tag := messages.take(queue)) is not None:
        contents.append(messages.read(tag))
        messages.ack(tag)
    return contents


def files(directory: Path) -> list[Path]:
    """The message files anywhere below."""
    parts = ("incoming", "queues", "unacked", "rejected")
    return [path for part in parts for path in (directory / part).rglob("*") if path.is_file()]


def test_first_in_first_out(messages: Messages) -> None:
    """Messages are taken in the order in which they were published."""
    for number in range(50):
        messages.put("q", b"%d" % number, durable=number % 10 == 0)
    assert taken(messages) == [b"%d" % number for number in range(50)]
    assert files(messages.directory) == []


def test_a_message_for_no_queue_is_refused(messages: Messages) -> None:
    """Publishing to a queue that does not exist says so and leaves nothing behind."""
    with pytest.raises(NoQueue):
        messages.put("nowhere", b"lost?", durable=True)
    assert files(messages.directory) == []


def test_taken_stays_until_acknowledged(messages: Messages) -> None:
    """A taken message is kept under its taker's name until it is acknowledged.

    No other process gets it.
    """
    messages.put("q", b"one", durable=True)
    tag = messages.take("q")
    assert tag is not None
    assert tag.startswith(f"{owner()}/")
    assert Messages(messages.directory).take("q") is None
    assert [path.read_bytes() for path in files(messages.directory)] == [b"one"]
    messages.ack(tag)
    assert files(messages.directory) == []


def test_requeued_goes_to_the_front(messages: Messages) -> None:
    """A requeued message is the next to be taken, by its taker at once and by others soon."""
    other = Messages(messages.directory)
    for content in (b"one", b"two", b"three", b"four"):
        messages.put("q", content, durable=False)
    messages.ack(other.take("q") or "")  # the other knows the names now
    tag = messages.take("q")
    assert tag is not None
    assert messages.read(tag) == b"two"
    assert messages.requeue(tag)
    again = messages.take("q")
    assert again is not None
    assert (messages.read(again), returns_of(again)) == (b"two", 1)
    messages.requeue(again)

    def front_is_seen() -> bool:
        tag = other.take("q")
        assert tag is not None
        if other.read(tag) == b"two":
            return returns_of(tag) >= 2
        other.requeue(tag)
        return False

    assert until(front_is_seen, what="the other taker to see the returned message")


def test_a_late_acknowledgement_harms_nobody(messages: Messages) -> None:
    """Acknowledging a message that was given back and taken again does not touch it."""
    messages.put("q", b"one", durable=False)
    first = messages.take("q")
    assert first is not None
    messages.requeue(first)
    second = messages.take("q")
    assert second is not None
    messages.ack(first)
    messages.reject(first)
    assert not messages.requeue(first)
    assert messages.read(second) == b"one"


def test_rejected_is_kept(messages: Messages) -> None:
    """A rejected message is kept in a directory of its queue."""
    messages.put("q", b"one", durable=False)
    messages.reject(messages.take("q") or "")
    assert [path.read_bytes() for path in (messages.directory / "rejected" / "q").iterdir()] == [
        b"one"
    ]
    assert messages.take("q") is None


def test_returned_to_a_deleted_queue_is_kept(messages: Messages) -> None:
    """A message whose queue was deleted while it was out becomes a dead letter.

    It does not bring the queue back.
    """
    messages.put("q", b"one", durable=False)
    tag = messages.take("q")
    Topology(messages.directory).delete_queue("q")
    assert messages.requeue(tag or "")
    assert [path.read_bytes() for path in (messages.directory / "rejected" / "q").iterdir()] == [
        b"one"
    ]
    assert not (messages.directory / "queues" / "q").exists()


def test_size_and_purge(messages: Messages) -> None:
    """The size counts what is ready, and a purge removes just that."""
    for number in range(5):
        messages.put("q", b"%d" % number, durable=False)
    tag = messages.take("q")
    assert (messages.size("q"), messages.size("nowhere")) == (4, 0)
    assert messages.purge("q") == 4
    assert messages.size("q") == 0
    assert messages.read(tag or "") == b"0"


def test_new_messages_are_seen_in_a_queue_that_was_empty(messages: Messages) -> None:
    """However often an empty queue was looked at, the next message is found at the next look."""
    directory = messages.directory / "queues" / "q"
    for number in range(20):
        until(
            lambda: time.time_ns() - directory.stat().st_mtime_ns > 120_000_000,
            what="the directory to have settled",
        )
        assert messages.take("q") is None
        assert messages.take("q") is None
        messages.put("q", b"%d" % number, durable=False)
        assert taken(messages) == [b"%d" % number]


def test_messages_are_seen_however_fast_they_follow(messages: Messages) -> None:
    """Looking at an empty queue between two changes misses nothing."""
    for number in range(2000):
        messages.put("q", b"%d" % number, durable=False)
        assert taken(messages) == [b"%d" % number]


def test_a_stepped_clock_loses_no_message(messages: Messages) -> None:
    """Messages stamped in the future, in the past and now are all taken."""
    directory = messages.directory / "queues" / "q"
    for number, stamp in enumerate((0, 4102444800_000000000, time.time_ns())):
        (directory / f"{stamp:020d}-{number:012d}-aa.0").write_bytes(b"%d" % number)
        os.utime(directory, ns=(stamp, stamp))
        assert messages.take("q") is not None
    messages.put("q", b"new", durable=False)
    assert taken(messages) == [b"new"]


def test_what_the_dead_had_goes_back(messages: Messages) -> None:
    """Messages of a dead process, or of another boot, are restored.

    An unfinished file is removed.
    """
    messages.put("q", b"one", durable=True)
    messages.put("q", b"two", durable=True)
    tags = [messages.take("q") or "", messages.take("q") or ""]
    assert restore_dead(messages.directory) == 0  # this process lives
    where, pid, start = owner().rsplit(".", 2)
    for tag, dead in zip(
        tags, (f"earlier-boot.{pid}.{start}", f"{where}.{pid}.{int(start) - 1}"), strict=True
    ):
        _, queue, name = tag.split("/")
        (messages.directory / "unacked" / dead / queue).mkdir(parents=True)
        os.rename(
            messages.directory / "unacked" / tag,
            messages.directory / "unacked" / dead / queue / name,
        )
        (messages.directory / "incoming" / f"{dead}.0.ff").write_bytes(b"to")
    assert restore_dead(messages.directory) == 2
    assert restore_dead(messages.directory) == 0
    assert sorted(path.name for path in (messages.directory / "unacked").iterdir()) == [owner()]
    tag = messages.take("q") or ""
    assert (messages.read(tag), returns_of(tag)) == (b"one", 1)
    messages.ack(tag)
    assert taken(messages) == [b"two"]
    assert list((messages.directory / "incoming").iterdir()) == []


def test_restoring_is_harmless_where_there_is_no_broker(tmp_path: Path) -> None:
    """Restoring in a directory that does not exist yet does nothing."""
    assert restore_dead(tmp_path / "broker") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_stray_file_does_not_stop_the_restorer(messages: Messages) -> None:
    """What somebody put among the takers by hand is in nobody's way."""
    (messages.directory / "unacked" / "notes.txt").write_text("hello")
    dead = messages.directory / "unacked" / "x.1.1"
    (dead / "q").mkdir(parents=True)
    (dead / "readme").write_text("hello")
    (dead / "q" / "m.0").write_bytes(b"one")
    assert restore_dead(messages.directory) == 1
    assert taken(messages) == [b"one"]


def test_a_removed_directory_of_the_taker_is_made_again(messages: Messages) -> None:
    """A taker whose own directory vanished makes it again and loses no message."""
    messages.put("q", b"one", durable=False)
    messages.put("q", b"two", durable=False)
    messages.ack(messages.take("q") or "")
    shutil.rmtree(messages.directory / "unacked" / owner())
    assert taken(messages) == [b"two"]


def test_queue_names_with_slashes_stay_inside(messages: Messages, tmp_path: Path) -> None:
    """A queue called ../../x is a directory of the broker like any other."""
    topology = Topology(messages.directory)
    topology.declare_queue("../../x", temporary=False)
    messages.put("../../x", b"one", durable=True)
    assert (tmp_path / "queues" / directory_name("../../x")).is_dir()
    assert taken(messages, "../../x") == [b"one"]


def test_stranded_messages_are_requeued_later(messages: Messages) -> None:
    """A message that could not be given back is tried again, by the process that had it."""
    messages.put("q", b"one", durable=False)
    tag = messages.take("q") or ""
    queues, away = messages.directory / "queues", messages.directory / "away"
    os.rename(queues, away)
    # a file in place of the directory: ENOTDIR stands for any error of the disk
    queues.write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        messages.requeue(tag)
    queues.unlink()
    os.rename(away, queues)
    assert messages.retry_stranded() == 1
    assert messages.retry_stranded() == 0
    assert taken(messages) == [b"one"]


def test_a_directory_that_was_huge_is_renewed(messages: Messages) -> None:
    """An empty queue that once held very many messages gets a fresh directory.

    What was published in that moment arrives.
    """
    directory = messages.directory / "queues" / "q"
    serial = 0
    while directory.stat().st_size <= 1 << 20:
        for _ in range(1000):
            (directory / f"{serial:0200d}").touch()
            serial += 1
        if serial >= 20_000:
            # then there is nothing to renew
            pytest.skip("this file system keeps no large directories")
    assert messages.purge("q") == serial
    before = directory.stat().st_ino
    assert messages.take("q") is None
    if directory.stat().st_size > 1 << 20:
        pytest.skip("this file system cannot swap directories")
    assert directory.stat().st_ino != before
    (aside,) = (messages.directory / "unacked").iterdir()
    messages.put("q", b"new", durable=True)
    (aside / "q" / "00.0").write_bytes(b"published in the last moment")
    assert restore_dead(messages.directory) == 1
    assert not aside.exists()
    assert sorted(taken(messages)) == [b"new", b"published in the last moment"]


def left_by_the_dead(messages: Messages, queue: str = "q") -> Path:
    """A message that a dead process had taken from the queue; its directory of that queue."""
    taken_by = messages.directory / "unacked" / "x.1.1" / queue
    taken_by.mkdir(parents=True)
    (taken_by / "m.0").write_bytes(b"one")
    return taken_by


@pytest.mark.parametrize("place", ["queues", "rejected", "unacked"])
def test_nothing_is_restored_through_a_link(messages: Messages, tmp_path: Path, place: str) -> None:
    """A link in place of a queue, of its rejected messages or a dead taker is not followed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    taken_by = left_by_the_dead(messages, "gone")
    if place == "unacked":
        taken_by.rename(elsewhere / "gone")
        taken_by.parent.rmdir()
        taken_by.parent.symlink_to(elsewhere)
    else:
        (messages.directory / place / "gone").symlink_to(elsewhere)
    (messages.directory / "incoming" / "x.1.1.0.ff").symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    assert restore_dead(messages.directory) == 0
    assert sorted(elsewhere.rglob("*")) == before
    assert not list((messages.directory / "incoming").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have the directory of another user")
def test_nobody_restores_in_the_directory_of_another_user(messages: Messages) -> None:
    """Root, or whoever has come by write access, moves nothing in a broker that is not his own."""
    left_by_the_dead(messages)
    os.chown(messages.directory / "unacked", 1, 1)
    with pytest.raises(PermissionError, match="no message is restored"):
        restore_dead(messages.directory)
    os.chown(messages.directory / "unacked", 0, 0)
    assert restore_dead(messages.directory) == 1


def test_a_command_that_connects_restores_nothing(messages: Messages) -> None:
    """To connect, to send and to ask for a depth are what commands do.

    The messages of dead processes stay for the daemons.
    """
    taken_by = left_by_the_dead(messages)
    with Connection(
        "warren://",
        transport="warren.broker.embedded.transport:Transport",
        transport_options={"directory": messages.directory},
    ) as connection:
        with suppress(TimeoutError):
            # load: nothing is to come, however long it waits
            connection.drain_events(timeout=0.1)
        assert depths_over(connection, ["q"]) == {"q": 0}
    assert [path.name for path in taken_by.iterdir()] == ["m.0"]
