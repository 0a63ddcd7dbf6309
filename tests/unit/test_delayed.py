"""Tasks that are due later: how many wait in the worker, and where the others do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.utils.objects import Bunch
from kombu import Connection
from kombu.common import QoS

from support.plants import PLANTS
from support.wait import let_pass, until
from warren.broker.due import FARTHEST, LEAD, NEAR, comes_at
from warren.broker.embedded.messages import Messages
from warren.broker.embedded.recovery import restore_dead
from warren.broker.embedded.topology import Topology
from warren.broker.rabbitmq.delay_queues import place
from warren.worker.delayed_tasks import MOST, SHORTEST, DelayedTasks, away_for
from warren.worker.requeue import Requeuer


def in_seconds(seconds: float) -> str:
    """The moment as a message has it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_what_is_due_soon_is_kept_and_only_so_much_of_it() -> None:
    """A bounded number of tasks that are due soon is kept; the rest goes away.

    The rest comes again before it is due where there is time.
    """
    assert away_for(NEAR, 0, NEAR) == 0
    assert away_for(NEAR, MOST - 1, NEAR) == 0
    assert away_for(NEAR, MOST, NEAR) == NEAR
    assert away_for(86400.0, 0, NEAR) == 86400 - LEAD
    assert away_for(86400.0, MOST, NEAR) == 86400 - LEAD
    assert away_for(0.2, MOST, NEAR) == SHORTEST
    assert away_for(1.2, 0, 1.0) == SHORTEST


def test_a_flood_is_kept_up_to_its_bound_and_room_comes_with_time() -> None:
    """Of messages that are all due soon MOST are kept.

    Messages that are due now do not count.
    """
    gone: list[Any] = []
    consumer = Bunch(app=Bunch(conf=Bunch(task_default_queue_type="classic")))

    def postpone(message: Any, until: float) -> bool:
        gone.append(message)
        return True

    channel = Bunch(postpone=postpone)

    def message(seconds: float) -> Bunch:
        return Bunch(
            headers={"eta": in_seconds(seconds)},
            delivery_info={"queue": "default"},
            channel=channel,
        )

    later = DelayedTasks(Requeuer())
    later.begin(consumer)
    assert [later.postpone(message(30)) for _ in range(MOST + 5)] == [False] * MOST + [True] * 5
    assert not later.postpone(message(-1))
    assert later.postpone(message(3600))
    assert len(gone) == 6
    later.begin(consumer)  # a new connection: all of them come again
    assert not later.postpone(message(30))


@pytest.mark.parametrize("seconds", [1, 1.9, 2, 3, 59, 60, 4096, 86400, FARTHEST])
def test_the_delays_of_rabbitmq_add_up_to_the_moment_and_not_beyond(seconds: float) -> None:
    """From one queue to the next a message never comes late, and is near its moment after a few."""
    left, steps = seconds, 0
    while left >= 1:
        name, level = place("mail", left)
        assert name == f"warren.later.mail.{level}"
        assert level <= left
        left, steps = left - level, steps + 1
    assert 0 <= left < 1
    assert steps <= 27


def test_a_sender_keeps_back_only_what_can_be_read_and_is_far() -> None:
    """What is due soon, has no ETA or one that nobody can read goes to its queue at once."""
    assert comes_at({"headers": {"eta": in_seconds(30)}}) is None
    for eta in (None, "tomorrow", 5, "2030-12-30T24:00:00"):
        assert comes_at({"headers": {"eta": eta}}) is None
    assert comes_at({"headers": None}) is None
    # a worker rejects it now
    assert comes_at({"headers": {"eta": in_seconds(FARTHEST + 60)}}) is None
    moment = comes_at({"headers": {"eta": in_seconds(3600)}})
    assert moment is not None
    # load: a minute's pause between the two lines is more than a busy machine makes
    assert abs(moment - time.time() - 3600 + LEAD) < 60


def test_embedded_a_message_comes_when_it_is_due_and_not_before(messages: Messages) -> None:
    """What was postponed, and what was sent for later, is queued after its moment in order."""
    messages.put("q", b"first", durable=True)
    tag = messages.take("q")
    assert tag is not None
    messages.later.postpone(tag, time.time() - 1)
    assert messages.later.put("q", b"second", time.time() - 2, durable=True)
    assert messages.later.put("q", b"late", time.time() + 3600, durable=True)
    assert messages.take("q") is None
    assert messages.later.bring("q") == 2
    found = []
    while (tag := messages.take("q")) is not None:
        found.append(messages.read(tag))
        messages.ack(tag)
    assert found == [b"first", b"second"]
    assert messages.later.bring("q") == 0
    assert len(os.listdir(messages.directory / "later" / "q")) == 1


def test_embedded_an_answer_that_comes_late_does_no_harm(messages: Messages) -> None:
    """Acknowledged or given back after it was postponed, the message is still there, once."""
    messages.put("q", b"one", durable=True)
    tag = messages.take("q")
    assert tag is not None
    messages.later.postpone(tag, time.time() + 3600)
    messages.ack(tag)
    assert not messages.requeue(tag)
    assert len(os.listdir(messages.directory / "later" / "q")) == 1


def test_embedded_no_message_is_sent_for_later_into_a_queue_that_is_not_there(
    messages: Messages,
) -> None:
    """Its sender is told, as for one that is due at once; what waits goes with its queue."""
    assert not messages.later.put("none", b"x", time.time() + 3600, durable=True)
    assert messages.later.put("q", b"x", time.time() + 3600, durable=True)
    Topology(messages.directory).delete_queue("q")
    assert os.listdir(messages.directory / "later") == []


def test_embedded_a_broker_of_an_older_version_is_restored(messages: Messages) -> None:
    """The directory of delayed messages is made at the next connection.

    Until then nothing needs it.
    """
    (messages.directory / "later").rmdir()
    assert restore_dead(messages.directory) == 0
    messages.open()
    assert (messages.directory / "later").is_dir()


def test_embedded_what_is_due_waits_for_a_queue_that_is_declared_again(messages: Messages) -> None:
    """A queue that was not there at the first look is found at a later one.

    The worker need not be started again.
    """
    assert messages.later.put("q", b"due", time.time() - 1, durable=True)
    let_pass(0.2)  # then its directory is known, and not listed at each look
    os.rename(messages.directory / "queues" / "q", messages.directory / "gone")
    assert messages.later.bring("q") == 0
    Topology(messages.directory).declare_queue("q", temporary=False)
    until(lambda: messages.later.bring("q") == 1, what="the message")
    assert messages.take("q") is not None


@pytest.mark.parametrize("name", [f"{1:020d}.", f"{1:020d}..", f"{1:020d}.name"])
def test_embedded_a_name_that_leads_nowhere_holds_up_nothing(messages: Messages, name: str) -> None:
    """It stands before the others, for anybody may have put it there, and cannot be moved."""
    (messages.directory / "later" / "q").mkdir()
    (messages.directory / "later" / "q" / name).touch()
    (messages.directory / "queues" / "q" / "name" / "full").mkdir(parents=True)
    assert messages.later.put("q", b"due", time.time() - 1, durable=True)
    with suppress(IsADirectoryError):
        messages.later.bring("q")
    assert messages.take("q") is not None


@pytest.mark.parametrize("plant", PLANTS)
def test_embedded_no_file_takes_the_place_of_what_is_due_later(
    messages: Messages, plant: str
) -> None:
    """What a task has put in the place of a queue's directory makes way for the first message.

    It holds up no other queue.
    """
    place = messages.directory / "later" / "a"
    Topology(messages.directory).declare_queue("a", temporary=False)
    PLANTS[plant](place)
    options = {"directory": messages.directory}
    with Connection(
        "warren://",
        transport="warren.broker.embedded.transport:Transport",
        transport_options=options,
    ) as connection:
        channel = connection.channel()
        for queue in "aq":
            channel.basic_consume(queue, False, lambda message: None, queue)
        assert messages.later.put("q", b"due", time.time() - 1, durable=True)
        with suppress(OSError):
            channel.bring()
        assert os.listdir(messages.directory / "later" / "q") == []
    assert messages.later.put("a", b"due", time.time() - 1, durable=True)
    assert messages.later.bring("a") == 1


class Unsendable(Requeuer):
    """Stands for copies of which none can be made."""

    def send(self, *_: Any, refused: Callable[[], Any] | None = None, **__: Any) -> None:
        """Refuses it at once."""
        assert refused is not None
        refused()


def test_messages_that_cannot_be_sent_back_take_bounded_memory() -> None:
    """Each is kept as long as few are; then it is rejected. The others go away as before."""
    kept: list[Any] = []
    rejected: list[Any] = []
    later = DelayedTasks(Unsendable())
    qos = QoS(lambda prefetch_count: None, 4)
    conf = Bunch(task_default_queue_type="classic")
    later.begin(
        Bunch(app=Bunch(conf=conf), qos=qos, keep_until_due=kept.append, unsendable=rejected.append)
    )
    for _ in range(MOST + 3):
        message = Bunch(
            headers={"eta": in_seconds(3600)}, delivery_info={"queue": "default"}, channel=object()
        )
        assert later.postpone(message)
    later.step()
    assert (len(kept), len(rejected), qos.value) == (MOST, 3, 4)
