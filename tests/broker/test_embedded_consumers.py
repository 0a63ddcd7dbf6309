"""Real processes on the embedded broker's directories, killed at any moment.

Nothing is lost, and nothing done comes back.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from support.wait import let_pass, until
from warren.broker.embedded.messages import Messages
from warren.broker.embedded.queue_listing import Listing
from warren.broker.embedded.recovery import restore_dead
from warren.broker.embedded.topology import Topology

QUEUES = ("one", "two")
MANY = 8000
_fork: Any = multiprocessing.get_context("fork")


def broker(directory: Path) -> Messages:
    """The directories of a broker with its queues."""
    messages = Messages(directory)
    messages.open()
    topology = Topology(directory)
    topology.open()
    for queue in QUEUES:
        topology.declare_queue(queue, temporary=False)
    return messages


class Taker:
    """A real process that takes and settles on command, and can be killed."""

    def __init__(self, directory: Path) -> None:
        self.pipe, theirs = _fork.Pipe()
        self.process = _fork.Process(target=self._serve, args=(directory, theirs), daemon=True)
        self.process.start()
        theirs.close()

    @staticmethod
    def _serve(directory: Path, pipe: Connection) -> None:
        messages = Messages(directory)
        while True:
            verb, argument = pipe.recv()
            result = getattr(messages, verb)(argument)
            pipe.send((result, messages.read(result)) if verb == "take" and result else result)

    def __call__(self, verb: str, argument: str) -> Any:
        self.pipe.send((verb, argument))
        return self.pipe.recv()

    def kill(self) -> None:
        """kill -9, until it is really gone."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Spool(RuleBasedStateMachine):
    """Any sequence of operations leaves each message where the model has it.

    The operations are publishing, taking, settling, crashing and restoring.
    """

    takers = Bundle("takers")

    def __init__(self) -> None:
        super().__init__()
        self._scratch = tempfile.TemporaryDirectory()
        self.directory = Path(self._scratch.name)
        self.messages = broker(self.directory)
        self.ready: dict[str, set[bytes]] = {queue: set() for queue in QUEUES}
        self.held: dict[Taker, dict[str, tuple[str, bytes]]] = {}
        self.orphaned: list[tuple[str, bytes]] = []
        self.rejected: set[bytes] = set()
        self.published = 0

    def teardown(self) -> None:
        for taker in self.held:
            taker.kill()
        self._scratch.cleanup()

    @rule(queue=st.sampled_from(QUEUES), durable=st.booleans())
    def publish(self, queue: str, durable: bool) -> None:
        content = b"%d" % self.published
        self.published += 1
        self.messages.put(queue, content, durable)
        self.ready[queue].add(content)

    @precondition(lambda self: len(self.held) < 3)
    @rule(target=takers)
    def start(self) -> Taker:
        taker = Taker(self.directory)
        self.held[taker] = {}
        return taker

    @rule(taker=takers, queue=st.sampled_from(QUEUES))
    def take(self, taker: Taker, queue: str) -> None:
        found = taker("take", queue)
        if found is None:
            assert not self.ready[queue], "a message is there and is not found"
            return
        tag, content = found
        self.ready[queue].remove(content)  # else it was held by somebody, done or rejected
        self.held[taker][tag] = (queue, content)

    def _some_tag(self, taker: Taker, data: Any) -> str | None:
        tags = sorted(self.held[taker])
        return data.draw(st.sampled_from(tags)) if tags else None

    @rule(taker=takers, data=st.data(), verb=st.sampled_from(["ack", "give_back", "reject"]))
    def settle(self, taker: Taker, data: Any, verb: str) -> None:
        tag = self._some_tag(taker, data)
        if tag is None:
            return
        taker(verb, tag)
        queue, content = self.held[taker].pop(tag)
        if verb == "give_back":
            self.ready[queue].add(content)
        elif verb == "reject":
            self.rejected.add(content)

    @rule(taker=consumes(takers))
    def crash(self, taker: Taker) -> None:
        taker.kill()
        self.orphaned.extend(self.held.pop(taker).values())

    @rule()
    def restore(self) -> None:
        assert restore_dead(self.directory) == len(self.orphaned)
        for queue, content in self.orphaned:
            self.ready[queue].add(content)
        self.orphaned.clear()

    @invariant()
    def every_message_is_where_it_must_be(self) -> None:
        for queue in QUEUES:
            assert contents(self.directory / "queues" / queue) == Counter(self.ready[queue])
        held = [content for tags in self.held.values() for _, content in tags.values()]
        assert contents(self.directory / "unacked") == Counter(
            held + [content for _, content in self.orphaned]
        )
        assert contents(self.directory / "rejected") == Counter(self.rejected)
        assert contents(self.directory / "incoming") == Counter()


def left(directory: Path) -> bool:
    """Whether a queue or a taker has a message."""
    return any(names for part in ("queues", "unacked") for _, _, names in os.walk(directory / part))


def contents(directory: Path) -> Counter[bytes]:
    """What the files anywhere below hold."""
    return Counter(path.read_bytes() for path in directory.rglob("*") if path.is_file())


TestSpool = Spool.TestCase
TestSpool.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def _consume(directory: Path, log: str, stay: float) -> None:
    """Take messages until the queues have been empty for a while.

    Note each message done in `log` before acknowledging it.
    """
    messages = Messages(directory)
    with open(log, "ab", buffering=0) as done:
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < stay:
            for queue in QUEUES:
                tag = messages.take(queue)
                if tag is not None:
                    done.write(messages.read(tag) + b"\n")
                    messages.ack(tag)
                    idle_since = time.monotonic()
    os._exit(0)


@pytest.mark.parametrize("renewing", [False, True])
def test_each_message_is_taken_once(tmp_path: Path, renewing: bool) -> None:
    """Four processes that take at once get each message exactly once among them.

    This holds also while the directories are renewed.
    """
    messages = broker(tmp_path)
    log = tmp_path / "done"
    processes = [
        _fork.Process(target=_consume, args=(tmp_path, str(log), 600.0), daemon=True)
        for _ in range(4)
    ]
    if renewing:
        processes.append(_fork.Process(target=_renew_for_ever, args=(tmp_path,), daemon=True))
    for process in processes:
        process.start()
    for number in range(2000):
        messages.put(QUEUES[number % 2], b"%d" % number, durable=False)
    until(
        lambda: log.exists() and log.read_bytes().count(b"\n") >= 2000,
        what="every message to be done",
    )
    until(lambda: not left(tmp_path), what="every message to be acknowledged")
    for process in processes:
        assert process.is_alive()
        process.kill()
        process.join()
    assert Counter(log.read_bytes().split()) == Counter(b"%d" % number for number in range(2000))
    assert contents(tmp_path / "rejected") == Counter()


def _renew_for_ever(directory: Path) -> None:
    while True:
        for queue in QUEUES:
            Listing(directory, queue).renew()
            restore_dead(directory)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_9_at_any_moment_loses_nothing(seed: int, tmp_path: Path) -> None:
    """With takers killed at random and two restorers, every message is done.

    It is done again only if it was cut off.
    """
    dice = random.Random(seed)
    messages = broker(tmp_path)
    log = tmp_path / "done"
    for number in range(MANY):
        messages.put(QUEUES[number % 2], b"%d" % number, durable=False)
    restorer = _fork.Process(target=_restore_for_ever, args=(tmp_path,), daemon=True)
    restorer.start()
    kills, longest = 0, 0.03

    def drained() -> bool:
        """Takers come, and are killed."""
        nonlocal kills, longest
        before = log.stat().st_size if log.exists() else 0
        assert restorer.is_alive()
        takers = [
            _fork.Process(target=_consume, args=(tmp_path, str(log), 0.3), daemon=True)
            for _ in range(3)
        ]
        for taker in takers:
            taker.start()
        let_pass(dice.uniform(0.0, longest))  # the moment is the point of the test
        for taker in takers:
            if taker.is_alive():
                os.kill(taker.pid, signal.SIGKILL)
                kills += 1
            taker.join()
        restore_dead(tmp_path)
        progress = log.exists() and log.stat().st_size > before
        longest = 0.03 if progress else 2 * longest  # on a busy machine none had begun
        return not left(tmp_path)

    until(drained, within=600, what="queues that are empty")
    restorer.kill()
    restorer.join()
    done = Counter(log.read_bytes().split())
    assert set(done) == {b"%d" % number for number in range(MANY)}
    assert kills > 5
    # a kill can cut off one message between its work and its acknowledgement
    assert sum(done.values()) <= MANY + kills
    assert contents(tmp_path / "rejected") == Counter()


def _restore_for_ever(directory: Path) -> None:
    while True:
        restore_dead(directory)


def test_kill_9_of_a_publisher_leaves_whole_messages(tmp_path: Path) -> None:
    """A publisher killed at random moments leaves only whole messages.

    It leaves every message whose publishing had returned.
    """
    dice = random.Random(7)
    broker(tmp_path)
    log = tmp_path / "published"
    kills, longest = 0, 0.08

    def enough() -> bool:
        """Return whether fifteen publishers were killed, and one of them had published."""
        nonlocal kills, longest
        publisher = _fork.Process(target=_publish_for_ever, args=(tmp_path, str(log)), daemon=True)
        publisher.start()
        let_pass(dice.uniform(0.005, longest))  # the moment is the point of the test
        publisher.kill()
        publisher.join()
        kills += 1
        published = log.exists() and log.stat().st_size > 0
        longest = 0.08 if published else 2 * longest  # on a busy machine it had not begun
        return kills >= 15 and published

    until(enough, within=600, what="published messages")
    restore_dead(tmp_path)
    found = contents(tmp_path / "queues")
    assert set(log.read_bytes().split()) <= {content.split()[0] for content in found}
    assert all(content.endswith(b"end") for content in found)
    assert contents(tmp_path / "incoming") == Counter()


def _publish_for_ever(directory: Path, log: str) -> None:
    messages = Messages(directory)
    with open(log, "ab", buffering=0) as done:
        for serial in range(10**9):
            name = b"%d.%d" % (os.getpid(), serial)
            messages.put("one", name + b" " + b"x" * 50_000 + b" end", durable=serial % 2 == 0)
            done.write(name + b"\n")
