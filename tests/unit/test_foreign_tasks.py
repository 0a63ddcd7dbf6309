"""Tasks of other workers that RabbitMQ does not take back just now: files that are sent on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from kombu import Connection

from support.plants import PLANTS
from warren.worker.dead_letters import DeadLetters
from warren.worker.foreign_tasks import BATCH, LOOK, PASSED, ForeignTasks
from warren.worker.message_address import ADDRESS
from warren.worker.requeue import Requeuer


class Taken:
    """Stands for the copies: notes what is to be sent."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, str, Callable[[], None]]] = []
        #: Of the same: what is called when it cannot be sent, and when the broker does not take it.
        self.ways: list[tuple[Callable[[], None], Callable[[], None]]] = []

    lost = (ConnectionError,)

    def send(
        self,
        message: Any,
        exchange: str,
        queue: str,
        done: Callable[[], None],
        waits: bool,
        **ways: Any,
    ) -> None:
        """Takes it in."""
        assert (exchange, waits) == ("", True)
        self.given.append((message, queue, done))
        self.ways.append((ways["refused"], ways["not_taken"]))


def message(acknowledged: list[str], **headers: Any) -> Any:
    """A message of a task that this worker does not have."""
    return SimpleNamespace(
        headers={"task": "jobs.new", "id": "1", **headers},
        properties={"correlation_id": "1", "reply_to": "somebody", "priority": 3},
        body=b'[["\xc3\xa4"], {}, {}]',
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={"exchange": "warren", "routing_key": "a.b", "queue": "default"},
        ack=lambda: acknowledged.append("ack"),
    )


def of(tmp_path: Path, taken: Taken) -> ForeignTasks:
    """The files of a worker that gives them to `taken`."""
    letters = DeadLetters(cast(Requeuer, taken), "here", "main", tmp_path / "rejected")
    return ForeignTasks(cast(Requeuer, taken), tmp_path / "returning", letters)


def test_it_is_sent_on_as_it_was_and_removed_when_the_broker_has_it(tmp_path: Path) -> None:
    """A file is sent under the same id, to the queue it came from, once at a time.

    After a new connection it is sent again.
    """
    acknowledged: list[str] = []
    taken = Taken()
    letters = DeadLetters(cast(Requeuer, taken), "here", "main", tmp_path / "rejected")
    returning = ForeignTasks(cast(Requeuer, taken), tmp_path / "returning", letters)
    returning.step()
    returning.keep(message(acknowledged), {"warren_unknown": [3, 1.0, 2.0]}, "nobody")
    assert acknowledged == ["ack"]
    assert len(list((tmp_path / "returning").iterdir())) == 1
    # a worker that was started since
    later = ForeignTasks(cast(Requeuer, taken), tmp_path / "returning", letters)
    for _ in range(3):
        later.step()
    ((copy, queue, done),) = taken.given
    assert queue == "default"
    assert copy.headers == {
        "task": "jobs.new",
        "id": "1",
        "warren_unknown": [3, 1.0, 2.0],
        ADDRESS: ["warren", "a.b"],
    }
    assert (copy.body, copy.properties["reply_to"], copy.properties["priority"]) == (
        '[["ä"], {}, {}]',
        "somebody",
        3,
    )
    done()
    assert list((tmp_path / "returning").iterdir()) == []
    assert not (tmp_path / "rejected").exists()


@pytest.mark.parametrize("header", [b"\xff", object()])
def test_what_no_file_can_hold_is_a_dead_letter(tmp_path: Path, header: Any) -> None:
    """A header that JSON has no word for would come back as another one."""
    acknowledged: list[str] = []
    letters = DeadLetters(cast(Requeuer, None), "here", "main", tmp_path / "rejected")
    returning = ForeignTasks(cast(Requeuer, None), tmp_path / "returning", letters)
    returning.keep(message(acknowledged, odd=header), {}, "nobody")
    assert acknowledged == ["ack"]
    assert len(list((tmp_path / "rejected").iterdir())) == 1


@pytest.mark.parametrize(
    "word", [*PLANTS, "[]", "{}", "[" * 100000, '{"queue": "q", "priority": 1, "headers": 1}']
)
def test_what_somebody_else_has_put_there_becomes_a_dead_letter(tmp_path: Path, word: str) -> None:
    """The main loop waits for no fifo and reads no endless file.

    Any number of them holds up no message.
    """
    taken = Taken()
    returning = of(tmp_path, taken)
    returning.keep(message([]), {}, "nobody")
    planted = 2 * BATCH if word == "[]" else 1
    for number in range(planted):
        path = tmp_path / "returning" / f"0{number}.json"
        if word in PLANTS:
            PLANTS[word](path)
        else:
            path.write_text(word)
    for _ in range(3):
        returning._next = 0.0
        returning.step()
    assert [queue for _, queue, _ in taken.given] == ["default"]
    assert len(list((tmp_path / "returning").iterdir())) == 1
    # and what the link leads to
    assert len(list((tmp_path / "rejected").iterdir())) == planted + (word == "symbolic link")


def test_what_cannot_be_sent_becomes_a_dead_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named in the log, it is not tried again, and the next one has its turn."""
    taken = Taken()
    returning = of(tmp_path, taken)
    for _ in range(BATCH + 1):
        returning.keep(message([]), {}, "nobody")
    returning.step()
    assert len(taken.given) == BATCH
    for refused, _ in taken.ways:
        refused()
    assert len(list((tmp_path / "rejected").iterdir())) == BATCH
    returning._next = 0.0
    returning.step()
    assert len(taken.given) == BATCH + 1
    taken.given[-1][2]()
    assert list((tmp_path / "returning").iterdir()) == []


def test_what_the_broker_does_not_take_is_tried_again_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue may come back: it stays, and the others have their turn meanwhile."""
    now = [1000.0]
    monkeypatch.setattr("warren.worker.foreign_tasks.time.monotonic", lambda: now[0])
    taken = Taken()
    returning = of(tmp_path, taken)
    for _ in range(BATCH + 1):
        returning.keep(message([]), {}, "nobody")
    returning.step()
    for _, not_taken in taken.ways:
        not_taken()
    now[0] += LOOK
    returning.step()
    assert len(taken.given) == BATCH + 1
    taken.given[-1][2]()
    now[0] += LOOK
    returning.step()
    assert len(taken.given) == BATCH + 1
    now[0] += PASSED
    returning.step()
    assert len(taken.given) == 2 * BATCH + 1
    assert len(list((tmp_path / "returning").iterdir())) == BATCH
    assert not (tmp_path / "rejected").exists()


def test_what_cannot_be_moved_away_holds_up_nothing(tmp_path: Path) -> None:
    """An obstacle in the place of the dead letters costs the foul file its move.

    It costs no message its turn.
    """
    taken = Taken()
    returning = of(tmp_path, taken)
    returning.keep(message([]), {}, "nobody")
    (tmp_path / "rejected").symlink_to(tmp_path / "nowhere")
    for number in range(2 * BATCH):
        (tmp_path / "returning" / f"0{number}.json").write_text("[]")
    for _ in range(3):
        returning._next = 0.0
        returning.step()
    assert [queue for _, queue, _ in taken.given] == ["default"]


def test_a_fifo_in_the_place_of_its_directory(tmp_path: Path) -> None:
    """It is passed over, and makes way for the first message."""
    PLANTS["fifo"](tmp_path / "returning")
    taken, acknowledged = Taken(), list[str]()
    letters = DeadLetters(cast(Requeuer, taken), "here", "main", tmp_path / "rejected")
    returning = ForeignTasks(cast(Requeuer, taken), tmp_path / "returning", letters)
    returning.step()
    returning.keep(message(acknowledged), {}, "nobody")
    assert acknowledged == ["ack"]
    assert len(list((tmp_path / "returning").iterdir())) == 1


def test_what_a_worker_has_left_that_is_no_more_is_sent_by_another(tmp_path: Path) -> None:
    """Renamed or removed by the settings, it would leave tasks that nobody sends.

    What another worker has stays its own.
    """
    taken, acknowledged = Taken(), list[str]()

    def of(worker: str) -> ForeignTasks:
        letters = DeadLetters(cast(Requeuer, taken), "here", worker, tmp_path / "rejected")
        return ForeignTasks(cast(Requeuer, taken), tmp_path / "returning" / worker, letters)

    for worker in ("gone", "other"):
        of(worker).keep(message(acknowledged), {}, "nobody")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "returning" / "gone").rename(elsewhere)
    (tmp_path / "returning" / "link").symlink_to(elsewhere)
    (tmp_path / "returning" / "file").touch()
    main = of("main")
    main.begin(None, ["main", "other"])
    main.step()
    assert taken.given == []
    elsewhere.rename(tmp_path / "returning" / "gone")
    for connection in (1, 2):
        main.begin(None, ["main", "other"])
        main.step()
        assert [queue for _, queue, _ in taken.given] == ["default"] * connection
    taken.given[-1][2]()
    assert sorted(path.name for path in (tmp_path / "returning").iterdir()) == [
        "file",
        "link",
        "main",
        "other",
    ]
    assert len(list((tmp_path / "returning" / "other").iterdir())) == 1
    assert list((tmp_path / "returning" / "main").iterdir()) == []


def test_it_goes_to_the_broker_that_is_another_one_now(tmp_path: Path) -> None:
    """Files are sent also to a broker that is no RabbitMQ.

    A file without its queue there stays, is logged, and holds up nothing.
    """
    letters = DeadLetters(cast(Requeuer, None), "here", "main", tmp_path / "rejected")
    options = {"directory": tmp_path / "broker"}
    with Connection(
        "warren://",
        transport="warren.broker.embedded.transport:Transport",
        transport_options=options,
    ) as connection:
        channel = connection.channel()
        channel.queue_declare("default")
        requeuer = Requeuer()
        requeuer._consumer = SimpleNamespace(
            connection=connection, connection_errors=connection.connection_errors
        )
        returning = ForeignTasks(requeuer, tmp_path / "returning" / "main", letters)
        for queue in ("elsewhere", "default"):
            found = message([])
            found.delivery_info["queue"] = queue
            returning.keep(found, {}, "nobody")
        returning.begin(channel, ["main"])
        returning.step()
        taken = channel.basic_get("default")
        assert taken is not None
        assert taken.headers["id"] == "1"
        assert len(list((tmp_path / "returning" / "main").iterdir())) == 1
