"""Tasks with `warren.unique` and `warren.once` in a real worker that is killed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.brokers import own_section
from support.suite import Suite
from support.wait import end_of, result_of, until
from warren.app.factory import make_app
from warren.config import load
from warren.tasks.lock_contention import Busy

ROOT = Path(__file__).parents[2]
#: The Redis database of this file, test_unique.py and test_once.py.
DATABASE = 13
JOBS = """
import os
import time
from pathlib import Path

from celery import shared_task

from warren import once, unique


def work(directory, name):
    with open(f"{directory}/runs", "a") as file:
        file.write(f"{name}\\n")
    deadline = time.monotonic() + 300
    while not Path(directory, "go").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return name


@shared_task(name="jobs.fetch", bind=True)
@unique("fetch:{directory}")
def fetch(self, directory, name):
    return work(directory, name)


@shared_task(name="jobs.patient", bind=True, max_retries=0)
@unique("fetch:{directory}", on_busy="retry", retry_in=0.2)
def patient(self, directory, name):
    return [work(directory, name), self.request.retries]


@shared_task(name="jobs.skipped")
@unique("fetch:{directory}", on_busy="skip")
def skipped(directory, name):
    return work(directory, name)


@shared_task(name="jobs.invoice")
@once("{number}", retry_in=0.2)
def invoice(directory, number, name):
    return work(directory, name)


@shared_task(name="jobs.delivered")
@once(retry_in=0.2)
def delivered(directory, name):
    return work(directory, name)
"""


@pytest.fixture(params=("embedded", "redis"))
def suite(request: pytest.FixtureRequest, scratch: Path) -> Iterator[Suite]:
    """A suite whose worker runs two tasks at a time."""
    section = own_section(request, scratch, DATABASE)
    made = Suite(scratch, section + "[worker:a]\nconcurrency = 2\n", modules="jobs")
    made.module("jobs", JOBS)
    yield made
    (scratch / "go").touch()


def runs(scratch: Path) -> list[str]:
    """Return the names of the runs that have begun."""
    path = scratch / "runs"
    return path.read_text().split() if path.exists() else []


@pytest.mark.usefixtures("worker")
def test_the_other_call_is_told_who_works(app: Any, scratch: Path) -> None:
    """By an error with the holder's task, by a result, or by a run that comes later."""
    where = str(scratch)
    first = app.send_task("jobs.fetch", [where, "first"])
    until(lambda: runs(scratch), what="the first run")
    with pytest.raises(Busy, match=f"task {first.id} ") as told:
        result_of(app.send_task("jobs.fetch", [where, "second"]))
    assert told.value.holder["task_id"] == first.id
    assert result_of(app.send_task("jobs.skipped", [where, "third"]))["holder"] == (
        told.value.holder
    )
    later = app.send_task("jobs.patient", [where, "later"])
    until(lambda: later.state == "RETRY", what="a refusal")
    assert runs(scratch) == ["first"]
    (scratch / "go").touch()
    assert result_of(first) == "first"
    assert result_of(later) == ["later", 0]  # however often it was refused: no retry of the task


@pytest.mark.parametrize("task", ["jobs.fetch", "jobs.skipped", "jobs.delivered"])
def test_a_killed_workers_task_runs_again(suite: Suite, app: Any, scratch: Path, task: str) -> None:
    """Its second delivery finds the lock of its first run, and is neither refused nor skipped."""
    sent = app.send_task(task, [str(scratch), "a"])
    with suite.running("worker", "a") as worker:
        until(lambda: runs(scratch), what="the first run")
        worker.send_signal(signal.SIGKILL)
        end_of(worker)
    with suite.running("worker", "a"):
        until(lambda: len(runs(scratch)) == 2, what="the second run")
        (scratch / "go").touch()
        assert result_of(sent) == "a"


@pytest.mark.usefixtures("worker")
def test_once_among_tasks(app: Any, scratch: Path) -> None:
    """A second task waits for the first one's result, and does no work; nor does a later one."""
    sent = [app.send_task("jobs.invoice", [str(scratch), 7, f"n{n}"]) for n in range(3)]
    until(lambda: [each for each in sent if each.state == "RETRY"], what="a refusal")
    (scratch / "go").touch()
    sent.append(app.send_task("jobs.invoice", [str(scratch), 7, "late"]))
    (name,) = {result_of(each) for each in sent}
    assert runs(scratch) == [name]


@pytest.mark.usefixtures("worker")
def test_a_message_that_is_delivered_twice_does_its_work_once(app: Any, scratch: Path) -> None:
    """Two messages with one id: the result is the first run's."""
    (scratch / "go").touch()
    first = app.send_task("jobs.delivered", [str(scratch), "a"], task_id="same")
    assert result_of(first) == "a"
    result_of(app.send_task("jobs.delivered", [str(scratch), "b"], task_id="same"))
    after = app.send_task("jobs.delivered", [str(scratch), "c"])
    assert result_of(after) == "c"
    until(lambda: result_of(app.AsyncResult("same")) == "a", what="the first result")
    assert runs(scratch) == ["a", "c"]


def test_check_warns_of_locks_that_hosts_cannot_share(scratch: Path) -> None:
    """On RabbitMQ alone each decorated task is named with its file and line, and the remedy."""
    suite = Suite(scratch, "[broker]\nurl = amqp://127.0.0.1:1//\n", modules="jobs")
    suite.module("jobs", JOBS)
    said = suite.warren("check").stderr
    assert set(re.findall(r"jobs\.py:\d+: (jobs\.\w+): each call will fail", said)) == {
        *("jobs.fetch", "jobs.patient", "jobs.skipped", "jobs.invoice", "jobs.delivered")
    }
    suite.module(
        "jobs",
        JOBS.replace("@unique(", '@unique(scope="host", key=')
        .replace("@once(", '@once(scope="host", ')
        .replace('"host", "{', '"host", key="{'),
    )
    done = suite.warren("check")
    assert "each call will fail" not in done.stderr
    assert "is fine" in done.stdout, done.stderr


def test_the_example_of_the_guide(scratch: Path) -> None:
    """The first block under "One at a time" of docs/tasks.md is code that works."""
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").split("## One at a time\n")[1]
    code = page.split("```python\n")[1].split("```")[0]
    make_app(load(Suite(scratch, "").etc))
    names: dict[str, Any] = {"__name__": "shop.tasks"}
    exec(code, names)  # noqa: S102  the page's own text
    assert names["fetch_page"].apply(["a"]).get() == "fetched a"
    assert [names["invoice"].apply([n]).get() for n in (1, 1)] == ["invoice 1"] * 2
    assert os.listdir(scratch / "state" / "locks")
