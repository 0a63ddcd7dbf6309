"""Messages that no worker can run, by the thousand.

They are soon over, each is kept, and good tasks among them run once.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.alarm import alarm
from support.calls import calls
from support.figures import Figure
from support.later_flood import make, put
from support.rejected_flood import foul, rejected, run
from support.servers import RabbitMQNode
from support.suite import Suite
from support.wait import end_of, result_of, until
from warren.app.factory import make_app
from warren.broker.queue_depth import depths
from warren.broker.queue_names import REJECTED
from warren.config import load

KINDS = pytest.mark.parametrize("kind", ["quorum", "classic"])


def kept(app: Any) -> list[str]:
    """Take the ids of all dead letters from their queue."""
    found: list[str] = []
    with app.connection_for_read() as connection:
        while (message := connection.default_channel.basic_get(REJECTED, no_ack=True)) is not None:
            found.append(message.headers["id"])
    return found


def here(suite: Suite) -> list[Path]:
    """The dead letters that are files of this host."""
    directory = suite.directory / "state" / "rejected"
    return sorted(directory.iterdir()) if directory.is_dir() else []


def await_more(app: Any, number: int) -> None:
    """Wait until so many more are kept."""
    before = _depth(app)
    until(lambda: _depth(app) > before + number, what="some kept")


@KINDS
def test_a_flood_is_soon_over(
    scratch: Path, rabbitmq: RabbitMQNode, kind: str, figure: Figure
) -> None:
    """A good task behind the flood has its result.

    It is a short form of `./scripts/bench rejected`.
    """
    found = run(scratch, rabbitmq.add_vhost(scratch.name), kind, 3000)
    figure(f"{kind}: rejected a second", round(found.rejected_s), "several hundred")


@KINDS
def test_good_tasks_among_them_run_once_and_each_other_is_kept_once(
    scratch: Path, rabbitmq: RabbitMQNode, kind: str
) -> None:
    """Good tasks of all three positions run.

    They are in the flood, a crowd at its end, and under a quota.
    """
    url = rabbitmq.add_vhost(scratch.name)
    suite, path = make(scratch, url, kind), scratch / "calls"
    app, sent = make_app(load(suite.etc)), list[str]()
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        os.kill(worker.pid, signal.SIGSTOP)  # so that the flood waits in the queue, in this order
        for good in (1, 60, 2):
            made = foul(400)
            put(suite, url, "default", made)
            sent += [each["headers"]["id"] for each in made]
            for _ in range(good):
                app.send_task("jobs.note", [str(path)], ignore_result=True)
        os.kill(worker.pid, signal.SIGCONT)
        until(lambda: len(calls(path)) == 63, what="all good tasks")
        until(lambda: rejected(suite) == 1200, what="all others rejected")
        until(lambda: not any(depths(app, ["default"]).values()), what="an empty queue")
        until(lambda: depths(app, [REJECTED])[REJECTED] == 1200, what="all of them kept")
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        assert len(calls(path)) == 63
    assert Counter(kept(app)) == Counter(sent)
    assert not suite.logged("worker", "broker_lost")
    assert not here(suite)
    app.close()


@KINDS
def test_a_worker_that_is_killed_in_the_midst_loses_none(
    scratch: Path, rabbitmq: RabbitMQNode, kind: str
) -> None:
    """Each is kept, perhaps twice: its acknowledgement follows the confirmation of its copy."""
    url = rabbitmq.add_vhost(scratch.name)
    suite = make(scratch, url, kind)
    app = make_app(load(suite.etc))
    sent = foul(2000)
    for ended in range(3):
        with suite.running("worker", "a") as worker:
            if not ended:
                suite.await_event("worker", "ready")
                put(suite, url, "default", sent)
            await_more(app, 150)
            worker.kill()
            end_of(worker)
    with suite.running("worker", "a"):
        assert result_of(app.send_task("jobs.add", [1, 2])) == 3
        until(lambda: not any(depths(app, ["default"]).values()), what="an empty queue")
    found = kept(app)
    assert set(found) == {each["headers"]["id"] for each in sent}
    assert len(found) <= len(sent) + 3 * 300  # what was in hand at each end
    app.close()


@KINDS
def test_an_alarm_in_the_midst_loses_none(scratch: Path, rabbitmq: RabbitMQNode, kind: str) -> None:
    """What RabbitMQ has not confirmed is a file of this host.

    A good task behind it runs while the alarm lasts.
    """
    url = rabbitmq.add_vhost(scratch.name)
    suite, path = make(scratch, url, kind), scratch / "calls"
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        made = foul(2000)
        put(suite, url, "default", made)
        app.send_task("jobs.note", [str(path)], ignore_result=True)
        until(lambda: rejected(suite) > 100, what="some rejected")
        with alarm(rabbitmq):
            until(lambda: len(calls(path)) == 1, what="the good task")
        until(lambda: not any(depths(app, ["default"]).values()), what="an empty queue")
    found = {*kept(app), *(_id(each) for each in here(suite))}
    assert found == {each["headers"]["id"] for each in made}
    assert not suite.logged("worker", "broker_lost")
    app.close()


def _id(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8"))["headers"]["id"])


def _depth(app: Any) -> int:
    return depths(app, [REJECTED])[REJECTED] or 0
