"""When a worker takes more messages at a time from a queue that holds nothing but foul ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from warren.worker.rejection_flood import IDLE, IN_A_ROW, SMALL, Flood
from warren.worker.requeue import Requeuer


class Stage:
    """Stands for the consumer, RabbitMQ and the copies: notes who consumes, and what goes back."""

    def __init__(self, kind: str = "quorum", driver: str = "amqp") -> None:
        self.channel = SimpleNamespace(basic_qos=lambda *_: None)
        self.taking: list[str] = []
        self.back: list[Any] = []
        self.run: list[Any] = []
        self.blocked = False
        self.consumed = {"default", "other"}
        arguments = {"x-queue-type": kind}
        queues = [
            SimpleNamespace(name=name, queue_arguments=arguments) for name in ("default", "other")
        ]
        named = {
            name: lambda channel, name=name: SimpleNamespace(name=name)
            for name in ("default", "other")
        }
        self.app = SimpleNamespace(
            conf=SimpleNamespace(task_queues=queues),
            amqp=SimpleNamespace(queues=named, TaskConsumer=self._consumer),
        )
        self.connection = SimpleNamespace(
            transport=SimpleNamespace(driver_type=driver), channel=lambda: self.channel
        )
        self.task_consumer = SimpleNamespace(
            consuming_from=lambda queue: queue in self.consumed, on_message=None
        )
        self.on_decode_error, self.initial_prefetch_count, self.keep_until_due = (
            None,
            2,
            self.run.append,
        )
        self.flood = Flood(cast(Requeuer, self))
        self.flood.begin(self)

    def _consumer(self, channel: Any, queues: list[Any], **_: Any) -> Any:
        name = queues[0].name
        assert queues[0].consumer_arguments == {"x-priority": -1}
        return SimpleNamespace(
            consume=lambda: self.taking.append(name), cancel=lambda: self.taking.remove(name)
        )

    def send_back(self, message: Any, done: Any, refused: Any) -> None:
        """The copies'."""
        self.back.append((message, refused))

    def message(self, size: int = 2, queue: str = "default", second: bool = False) -> Any:
        """One of a queue; `second`: it came by the second consumer."""
        found = SimpleNamespace(
            body="x" * size,
            delivery_info={"queue": queue},
            channel=self.channel if second else None,
            acknowledged=False,
        )
        found.ack, found.requeue = None, lambda: self.back.append((found, None))
        return found

    def foul(self, number: int, **options: Any) -> None:
        """So many foul ones, then a turn."""
        for _ in range(number):
            self.flood.foul(self.message(**options))
        self.flood.step(False)


def test_many_in_a_row_are_a_flood_which_ends_at_a_good_one() -> None:
    """One message fewer is no flood, whatever other queues hold.

    A large or a good message begins the row again.
    """
    stage = Stage()
    stage.foul(IN_A_ROW - 1)
    stage.foul(IN_A_ROW - 1, queue="other")
    assert stage.taking == []
    stage.foul(1, size=SMALL + 1)
    stage.foul(1)
    assert stage.taking == []
    stage.foul(IN_A_ROW)
    assert stage.taking == ["default"]
    assert not stage.flood.good(stage.message(queue="other"))
    assert stage.taking == ["default"]
    assert not stage.flood.good(stage.message())
    assert stage.taking == []
    stage.foul(IN_A_ROW)
    stage.foul(1, size=SMALL + 1)
    assert stage.taking == []


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_of_good_tasks_it_keeps_a_few_and_the_others_go_back(kind: str) -> None:
    """As many as its prefetch, until they are done; of those of the first consumer all.

    Under an alarm none can go back.
    """
    stage = Stage(kind)
    stage.foul(IN_A_ROW)
    kept = [stage.message(second=True) for _ in range(2)]
    assert [stage.flood.good(each) for each in kept] == [False, False]
    assert not stage.flood.good(stage.message())
    assert stage.flood.good(surplus := stage.message(second=True))
    assert [each for each, _ in stage.back] == [surplus]
    if kind == "quorum":
        stage.back[0][1]()  # an alarm began before it had gone: it runs here
        assert stage.run == [surplus]
    kept[0].acknowledged = True
    assert not stage.flood.good(stage.message(second=True))
    assert stage.flood.good(stage.message(second=True))
    stage.blocked = True
    assert not stage.flood.good(stage.message(second=True))


def test_it_ends_when_none_comes_any_more_and_when_the_worker_takes_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flood also ends when the queue is paused or cancelled, and under an alarm.

    It begins again with a new row.
    """
    stage, now = Stage(), [1000.0]
    monkeypatch.setattr("warren.worker.rejection_flood.time.monotonic", lambda: now[0])

    def ended(closed: bool = False) -> bool:
        stage.flood.step(closed)
        return not stage.taking

    for end in ("idle", "closed", "paused", "alarm"):
        stage.foul(IN_A_ROW)
        assert not ended()
        now[0] += IDLE + 1 if end == "idle" else 0
        stage.consumed = set() if end == "paused" else stage.consumed
        stage.blocked = end == "alarm"
        assert ended(end == "closed"), end
        stage.consumed, stage.blocked = {"default"}, False
        assert ended(), end


def test_it_is_rabbitmqs_alone() -> None:
    """On other brokers a rejected message holds no place."""
    stage = Stage(driver="redis")
    stage.foul(10 * IN_A_ROW)
    assert stage.taking == []
    stage.flood.begin(stage)
    stage.flood.good(stage.message())
