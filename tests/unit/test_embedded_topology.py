"""Queues, exchanges and bindings of the embedded broker."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.trees import deep, removed
from warren.broker.embedded.exchanges import Table
from warren.broker.embedded.file_names import owner
from warren.broker.embedded.messages import Messages
from warren.broker.embedded.recovery import restore_dead
from warren.broker.embedded.routing import Binding
from warren.broker.embedded.topology import Topology


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A broker's directory."""
    Messages(tmp_path).open()
    Topology(tmp_path).open()
    return tmp_path


def in_child(work: Callable[[], None]) -> None:
    """Runs `work()` in a process that ends without a word, as a killed one does."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_bindings_are_seen_by_everybody(directory: Path) -> None:
    """A binding of one process routes the messages of another that does not know the queue."""
    here = Topology(directory)
    assert here.route("tasks", "a.b") == []

    def declare() -> None:
        there = Topology(directory)
        there.declare_exchange("tasks", "topic")
        there.declare_queue("q", temporary=False)
        there.bind("tasks", "a.*", "q")

    in_child(declare)
    assert here.route("tasks", "a.b") == ["q"]
    assert here.declare_exchange("tasks", "direct") == "topic"
    assert here.route("", "any") == ["any"]
    here.unbind("tasks", "a.*", "q")
    assert Topology(directory).route("tasks", "a.b") == []


def test_binding_to_no_exchange_is_refused(directory: Path) -> None:
    """A binding needs an exchange."""
    assert not Topology(directory).bind("nowhere", "k", "q")


def test_writers_at_once_lose_no_binding(directory: Path) -> None:
    """Processes that bind at the same time all find their bindings kept.

    Readers never meet half a table.
    """
    topology = Topology(directory)
    topology.declare_exchange("tasks", "direct")
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                there = Topology(directory)
                for serial in range(15):
                    there.bind("tasks", f"{number}.{serial}", f"q{number}")
                    assert there.route("tasks", f"{number}.{serial}") == [f"q{number}"]
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes: list[int] = []
    while len(codes) < len(children):
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            codes.append(status)
        topology.exchanges.get("tasks")  # raises for a torn table
    assert codes == [0, 0, 0, 0]
    table = topology.exchanges.get("tasks")
    assert table is not None
    assert {(binding.key, binding.queue) for binding in table.bindings} == {
        (f"{number}.{serial}", f"q{number}") for number in range(4) for serial in range(15)
    }


def test_a_temporary_queue_goes_with_its_last_process(directory: Path) -> None:
    """A temporary queue stays while a process that declared it lives.

    It is removed with its bindings when all are dead.
    """
    topology = Topology(directory)
    topology.declare_exchange("pidbox", "fanout")
    topology.declare_queue("shared", temporary=True)

    def declare() -> None:
        there = Topology(directory)
        for queue in ("theirs", "shared"):
            there.declare_queue(queue, temporary=True)
            there.bind("pidbox", "", queue)

    in_child(declare)
    assert sorted(topology.route("pidbox", "")) == ["shared", "theirs"]
    Messages(directory).put("theirs", b"ping", durable=False)
    restore_dead(directory)
    assert topology.route("pidbox", "") == ["shared"]
    assert [path.name for path in (directory / "queues").iterdir()] == ["shared"]
    assert [path.name for path in (directory / "temporary" / "shared").iterdir()] == [owner()]
    assert list((directory / "incoming").iterdir()) == []
    topology.release_queue("shared")
    assert topology.route("pidbox", "") == []
    assert list((directory / "queues").iterdir()) == list((directory / "temporary").iterdir()) == []


def test_a_child_does_not_release_its_parents_queue(directory: Path) -> None:
    """A forked child that lets go of what it inherited leaves its parent's queue alone."""
    topology = Topology(directory)
    topology.declare_queue("mine", temporary=True)
    in_child(lambda: topology.release_queue("mine"))
    assert topology.has_queue("mine")


def test_a_durable_queue_stays_durable(directory: Path) -> None:
    """A durable queue that another process declares temporary outlives it.

    A temporary queue that is declared durable stays as well.
    """
    topology = Topology(directory)
    topology.declare_queue("durable", temporary=False)

    def declare() -> None:
        for queue in ("durable", "raised"):
            Topology(directory).declare_queue(queue, temporary=True)

    in_child(declare)
    topology.declare_queue("raised", temporary=False)
    restore_dead(directory)
    assert topology.has_queue("durable")
    assert topology.has_queue("raised")


def test_a_deletion_cut_short_is_finished(directory: Path) -> None:
    """A process killed while it deletes a temporary queue leaves the rest to the next restorer."""
    topology = Topology(directory)
    topology.declare_exchange("pidbox", "fanout")
    topology.declare_queue("half", temporary=True)
    topology.bind("pidbox", "", "half")
    (directory / "temporary" / "half" / owner()).unlink()
    restore_dead(directory)
    assert not topology.has_queue("half")
    assert topology.route("pidbox", "") == []
    assert list((directory / "temporary").iterdir()) == []


#: Tables that are none, or are not those of this exchange.
DAMAGES = (
    b"",
    b"[]",
    b"\xff\x00",
    b"[" * 5000,
    b'{"name": "tasks", "type": "magic", "bindings": []}',
    b'{"name": "tasks", "type": "direct", "bindings": [1]}',
    b'{"name": "other", "type": "direct", "bindings": []}',
    b'{"name": "tasks", "type": "fanout", "bindings": []}',
)
MEANT = [Table("tasks", "direct", (Binding("k", "q"), Binding("k2", "q2")))]


@pytest.mark.parametrize(
    "damage", [*DAMAGES, None, b'{"name": "tasks", "type": "direct", "bindings": []}']
)
@pytest.mark.parametrize("act", ["send", "declare", "bind"])
def test_a_damaged_table_is_declared_again_from_the_settings(
    directory: Path, damage: bytes | None, act: str
) -> None:
    """A table that is missing or has lost its bindings is mended by the next declare or send.

    Every process sees that.
    """
    before, path = Topology(directory, MEANT), directory / "exchanges" / "tasks"
    before.declare_exchange("tasks", "direct")
    for queue in ("q", "q2"):
        before.declare_queue(queue, temporary=False)
    before.bind("tasks", "k", "q")
    assert before.route("tasks", "k") == ["q"]
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    topology = Topology(directory, MEANT)
    if act == "declare":
        assert topology.declare_exchange("tasks", "direct") == "direct"
    elif act == "bind" and damage is not None:
        assert topology.bind("tasks", "k3", "q")
        assert topology.route("tasks", "k3") == ["q"]
    assert (before.route("tasks", "k"), topology.route("tasks", "k2")) == (["q"], ["q2"])
    kept = [file.read_bytes() for file in directory.glob("exchange-tasks.moved-away-*")]
    assert kept == ([damage] if damage in DAMAGES else [])


@pytest.mark.parametrize("damage", DAMAGES[:-1])
def test_a_damaged_table_of_others_is_declared_again(directory: Path, damage: bytes) -> None:
    """An exchange that the settings do not know, such as remote control's, is removed.

    It begins again.
    """
    topology = Topology(directory)
    topology.declare_exchange("tasks", "direct")
    (directory / "exchanges" / "tasks").write_bytes(damage)
    assert topology.route("tasks", "k") == []
    assert topology.declare_exchange("tasks", "fanout") == "fanout"
    assert topology.bind("tasks", "k", "q")


def test_a_damaged_table_keeps_no_queue_from_being_deleted(directory: Path) -> None:
    """The bindings of the others go, and what cannot be read is left to who uses it."""
    topology = Topology(directory)
    topology.declare_queue("q", temporary=False)
    topology.declare_exchange("tasks", "direct")
    (directory / "exchanges" / "other").write_bytes(b"x")
    topology.bind("tasks", "k", "q")
    topology.delete_queue("q")
    assert topology.route("tasks", "k") == []


@pytest.mark.parametrize("where", ["a queue", "what a publisher left"])
def test_a_tree_without_an_end_is_removed(directory: Path, where: str) -> None:
    """Whatever a task has made among the broker's files, a queue is deleted.

    The restorer continues, and no worker ends.
    """
    topology = Topology(directory)
    topology.declare_queue("q", temporary=False)
    place = directory / ("queues/q/x" if where == "a queue" else "incoming/x.1.1.0.ff")
    with removed(directory):
        deep(place)
        (place / "file").touch()
        (place / "x" / "link").symlink_to(directory / "queues")
        if where == "a queue":
            topology.delete_queue("q")
        assert restore_dead(directory) == 0
        assert list((directory / "incoming").iterdir()) == []
        assert (directory / "queues").is_dir()
        assert topology.has_queue("q") == (where != "a queue")
