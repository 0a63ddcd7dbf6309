"""Messages keep their address, on each broker.

It is the queue that they came from, and the routing key that their sender chose.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.brokers import KINDS, own_section
from support.calls import NOTING, calls
from support.suite import Suite
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.app.queues import exchange, queue
from warren.broker.queue_depth import depths
from warren.broker.unroutable import NoRoute
from warren.config import load

JOBS = (
    NOTING
    + """
import json
from celery import current_app, shared_task
from kombu.exceptions import OperationalError

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.call", bind=True)
def call(self, path):
    note(path)
    with open(path + ".addresses", "a") as file:
        told = [self.request.hostname, self.request.delivery_info["routing_key"]]
        file.write(json.dumps(told) + chr(10))

@shared_task(name="jobs.again", bind=True, max_retries=2)
def again(self, path, countdown):
    with open(path, "a") as file:
        file.write(json.dumps([self.request.hostname, self.request.retries]) + chr(10))
    raise self.retry(countdown=countdown)

@shared_task(name="jobs.send")
def send(key, countdown):
    try:
        options = {"routing_key": key, "countdown": countdown, "ignore_result": True}
        current_app.send_task("jobs.add", [1, 1], **options)
    except OperationalError as error:
        return type(error).__name__ + ": " + str(error)
    return "sent"
"""
)
LIMIT = 5

#: As a fleet has it: a queue for each host, and one task that may be sent to both.
INI = """
[broker]
{broker}
[queue:server{suffix}]
binding_key = server_task{suffix}
tasks = jobs.call
[queue:laptop{suffix}]
binding_key = laptop_task{suffix}
[queue:other{suffix}]
tasks = jobs.add, jobs.again, jobs.send
[worker:laptop]
queues = laptop{suffix}, other{suffix}
[worker:server]
queues = server{suffix}
[quota:provider]
limit = {limit}/12s
longest_call = 10ms
tasks = jobs.call
"""


@pytest.fixture(params=KINDS)
def suite(request: pytest.FixtureRequest, scratch: Path) -> Suite:
    """The settings of two hosts in one, on each kind of broker and of queue."""
    broker = own_section(request, scratch, 11)
    made = Suite(
        scratch,
        INI.format(broker=broker.removeprefix("[broker]"), suffix=_suffix(scratch), limit=LIMIT),
        modules="jobs",
    )
    made.module("jobs", JOBS)
    return made


def _suffix(scratch: Path) -> str:
    return f"-{scratch.name[-8:]}"


def waiting(suite: Suite, app: Any) -> dict[str, int | None]:
    """Messages in each queue by the name that the queue has above."""
    suffix = _suffix(suite.directory)
    return {
        name.removesuffix(suffix): depth
        for name, depth in depths(app, load(suite.etc).queues).items()
    }


def heartbeat(suite: Suite, word: str) -> Any:
    """What the laptop's worker says of itself."""
    return (suite.heartbeat("worker-laptop") or {}).get("details", {}).get(word)


def lines(path: Path) -> list[Any]:
    """What tasks have noted, one JSON value a line."""
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if path.exists()
        else []
    )


def test_a_quota_moves_no_message_and_takes_up_no_other_queue(suite: Suite, scratch: Path) -> None:
    """Messages over the limit wait in their own queue, which is paused.

    Their worker takes up no queue that it was not given.
    """
    app, path, suffix = make_app(load(suite.etc)), scratch / "calls", _suffix(scratch)
    with suite.running("worker", "laptop"):
        suite.await_event("worker", "ready")
        for _ in range(2):
            app.send_task(
                "jobs.call", [str(path)], routing_key=f"server_task{suffix}", ignore_result=True
            )
        for _ in range(LIMIT + 3):
            app.send_task(
                "jobs.call", [str(path)], routing_key=f"laptop_task{suffix}", ignore_result=True
            )
        paused = suite.await_event("worker", "quota_exhausted")
        assert paused["queue"] == f"laptop{suffix}"
        until(lambda: waiting(suite, app)["laptop"] == 3, what="the messages back in their queue")
        assert waiting(suite, app)["server"] == 2
        told = [f"laptop{suffix}"], [f"other{suffix}"]
        until(
            lambda: (heartbeat(suite, "paused"), heartbeat(suite, "queues")) == told,
            what="a heartbeat that says so",
        )
        until(lambda: len(calls(path)) == LIMIT + 3, what="every call of the laptop")
        until(lambda: heartbeat(suite, "paused") == [], what="no pause")
        assert heartbeat(suite, "queues") == sorted([f"laptop{suffix}", f"other{suffix}"])
        # A task of another queue has come round by now: had the worker taken up the server's queue,
        # its tasks would have run.
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        assert waiting(suite, app)["server"] == 2
    addresses = lines(scratch / "calls.addresses")
    assert {key for _, key in addresses} == {f"laptop_task{suffix}"}
    assert len(addresses) == LIMIT + 3


def test_a_queue_that_others_share_never_waits_for_a_quota(suite: Suite, scratch: Path) -> None:
    """Tasks of a used-up quota in a queue of other tasks let those run meanwhile.

    The tasks of the quota run from there, too.
    """
    app, path, suffix = make_app(load(suite.etc)), scratch / "calls", _suffix(scratch)
    with suite.running("worker", "laptop"):
        suite.await_event("worker", "ready")
        for _ in range(LIMIT + 3):
            app.send_task("jobs.call", [str(path)], queue=f"other{suffix}", ignore_result=True)
        until(lambda: len(calls(path)) == LIMIT, what="the whole allowance")
        results = [app.send_task("jobs.add", [n, n]) for n in range(5)]
        assert [result_of(result) for result in results] == [2 * n for n in range(5)]
        until(lambda: len(calls(path)) == LIMIT + 3, what="the rest of the calls")
        assert not suite.logged("worker", "quota_exhausted")
        assert waiting(suite, app)["server"] in (0, None)


@pytest.mark.parametrize("countdown", [0, 1])
def test_a_task_that_is_tried_again_stays_in_its_queue(
    suite: Suite, scratch: Path, countdown: int
) -> None:
    """A retry goes where its sender had sent the task, also after a delay.

    It does not go to the task's own queue.
    """
    app, path, suffix = make_app(load(suite.etc)), scratch / "tries", _suffix(scratch)
    with suite.running("worker", "laptop"), suite.running("worker", "server"):
        until(lambda: len(suite.logged("worker", "ready")) == 2, what="both workers")
        app.send_task(
            "jobs.again",
            [str(path), countdown],
            routing_key=f"server_task{suffix}",
            countdown=countdown,
            ignore_result=True,
        )
        until(lambda: len(lines(path)) == 3, what="three tries")
    assert {host.split("@")[0] for host, _ in lines(path)} == {"server"}


@pytest.mark.parametrize("countdown", [None, 3])
def test_a_routing_key_that_leads_nowhere(
    suite: Suite, scratch: Path, countdown: int | None
) -> None:
    """A wrong key is an error of the sender that names the key.

    This holds in a task and for a task that is to run later; others arrive.
    """
    app, suffix = make_app(load(suite.etc)), _suffix(scratch)
    with suite.running("worker", "laptop"):
        suite.await_event("worker", "ready")
        with pytest.raises(NoRoute, match=f"routing key 'serevr_task{suffix}', found none"):
            app.send_task(
                "jobs.call", ["x"], routing_key=f"serevr_task{suffix}", countdown=countdown
            )
        assert (
            app.send_task(
                "jobs.add", [1, 1], routing_key=f"other{suffix}", countdown=countdown
            ).get(timeout=180)
            == 2
        )
        said = result_of(app.send_task("jobs.send", [f"serevr_task{suffix}", countdown]))
        assert said.startswith("NoRoute: ")
        assert f"'serevr_task{suffix}'" in said
        assert result_of(app.send_task("jobs.send", [f"laptop_task{suffix}", countdown])) == "sent"


def test_a_message_comes_back_to_one_queue(suite: Suite, scratch: Path) -> None:
    """Of two queues that are bound for one key each has its message.

    A requeued message is in its queue once, with its address.
    """
    app, name = make_app(load(suite.etc)), _suffix(scratch)
    queues = [
        queue(load(suite.etc), f"one{name}", f"both{name}"),
        queue(load(suite.etc), f"two{name}", f"both{name}"),
    ]
    taken: list[Any] = []
    with app.connection_for_write() as connection:
        for each in queues:
            each(connection.default_channel).declare()
        connection.Producer().publish(
            {},
            exchange=exchange(),
            routing_key=f"both{name}",
            delivery_mode=2,
            headers={"id": "one"},
        )
        with connection.Consumer(
            [queues[0]], callbacks=[lambda body, message: taken.append(message)]
        ):
            until(lambda: _drained(connection) and taken, what="the message")
            assert (taken[0].delivery_info["queue"], taken[0].delivery_info["routing_key"]) == (
                f"one{name}",
                f"both{name}",
            )
            taken[0].requeue()
            until(lambda: _drained(connection) and len(taken) > 1, what="the message again")
        assert taken[1].delivery_info["routing_key"] == f"both{name}"
        assert depths(app, [f"two{name}"]) == {f"two{name}": 1}
        taken[1].ack()


def _drained(connection: Any) -> bool:
    """Take in what the broker says within a moment."""
    with suppress(TimeoutError):
        # load: it is called again and again
        connection.drain_events(timeout=0.2)
    return True
