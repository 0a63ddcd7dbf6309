"""Real Celery workers with prefork pools on the embedded broker."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, signature

from support.wait import end_of, let_pass, result_of, until

APP = """
import os, time
from pathlib import Path
from celery import Celery

here = Path(__file__).parent
app = Celery("tiny")
app.config_from_object(dict(
    broker_url="warren://",
    broker_transport="warren.broker.embedded.transport:Transport",
    broker_transport_options={"directory": str(here / "broker"), "polling_interval": 0.02},
    result_backend=f"warren.broker.embedded.file_results:Backend+file://{here}/results",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    control_queue_exclusive=False,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
))

def note(text):
    with open(here / "done", "a", buffering=1) as done:
        done.write(f"{text}\\n")

@app.task
def add(x, y):
    return x + y

@app.task
def total(numbers):
    return sum(numbers)

@app.task
def step(number, seconds=0.0):
    note(f"begun-{number}")
    time.sleep(seconds)
    note(f"done-{number}")

@app.task
def hold(number):
    note(f"begun-{number}")
    while not (here / "go").exists():
        time.sleep(0.02)
    note(f"done-{number}")

@app.task
def spread(number):
    step.delay(number)

@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.3)
    return self.request.retries
"""


class Fleet:
    """The tiny app's workers and a client that does not import it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "tiny.py").write_text(APP, encoding="utf-8")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.app = Celery("client", set_as_current=False)
        self.app.conf.update(
            broker_url="warren://",
            broker_transport="warren.broker.embedded.transport:Transport",
            broker_transport_options={
                "directory": str(directory / "broker"),
                "polling_interval": 0.02,
            },
            result_backend=f"warren.broker.embedded.file_results:Backend+file://{directory}/results",
        )

    def start(self, name: str = "w1", concurrency: int = 2) -> subprocess.Popen[bytes]:
        """A worker; returns when it answers a ping."""
        arguments = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tiny",
            "worker",
            "-n",
            f"{name}@here",
            "-c",
            str(concurrency),
        ]
        with open(self.directory / f"{name}.log", "ab") as log:
            options: Any = {
                "cwd": self.directory,
                "stdout": log,
                "stderr": log,
                "start_new_session": True,
            }
            worker = subprocess.Popen(
                [*arguments, "--without-gossip", "--without-mingle", "-l", "INFO"], **options
            )
        self.workers.append(worker)
        until(lambda: f"{name}@here" in self.ping(), what=f"{name} to answer")
        return worker

    def ping(self) -> dict[str, Any]:
        """Who answers within half a second, asked one by one so that one answer is enough."""
        found: dict[str, Any] = {}
        for answer in self.app.control.ping(timeout=0.5):  # load: who asks asks again
            found |= answer
        return found

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """kill -9 of a worker; its children with it, as a daemon of Warren sees to."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def send(self, task: str, *args: object) -> Any:
        """Sends a task by its name."""
        return self.app.send_task(f"tiny.{task}", args)

    def noted(self) -> Counter[str]:
        """What the tasks have noted."""
        path = self.directory / "done"
        return Counter(path.read_text().split() if path.exists() else ())

    def left(self) -> list[Path]:
        """Messages anywhere."""
        parts = ("queues", "unacked", "rejected")
        return [
            path
            for part in parts
            for path in (self.directory / "broker" / part).rglob("*")
            if path.is_file()
        ]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet whose workers are ended afterwards, whatever happened."""
    found = Fleet(tmp_path)
    yield found
    for worker in found.workers:
        if worker.poll() is None:
            found.kill(worker)
    found.app.close()


def test_tasks_run(fleet: Fleet) -> None:
    """Tasks, retries with a countdown, chords and tasks sent by tasks run.

    They leave no message behind.
    """
    worker = fleet.start()
    assert result_of(fleet.send("add", 2, 3)) == 5
    assert result_of(fleet.send("flaky")) == 2
    header = [signature("tiny.add", (number, number), app=fleet.app) for number in range(5)]
    assert result_of(chord(header, app=fleet.app)(signature("tiny.total", app=fleet.app))) == 20
    for number in range(20):
        fleet.send("spread", number)
    until(
        lambda: fleet.noted()["done-19"] and sum(fleet.noted().values()) == 40,
        what="every spread task to have run",
    )
    until(
        lambda: fleet.app.control.inspect().active() == {"w1@here": []},
        what="a worker that says it has nothing to do",
    )
    until(lambda: not fleet.left(), what="every message to be acknowledged")
    worker.terminate()
    assert end_of(worker) == 0
    assert [path.name for path in (fleet.directory / "broker" / "queues").iterdir()] == ["celery"]


def test_a_stopped_worker_leaves_its_tasks_to_the_next(fleet: Fleet) -> None:
    """A worker that is stopped gives back what it had not begun, and another does it."""
    worker = fleet.start(concurrency=1)
    for number in range(6):
        fleet.send("hold", number)
    until(lambda: fleet.noted()["begun-0"])
    worker.terminate()
    until(
        lambda: "shutdown" in (fleet.directory / "w1.log").read_text(),
        what="the worker to begin its end",
    )
    (fleet.directory / "go").touch()
    assert end_of(worker) == 0
    begun = {text for text in fleet.noted() if text.startswith("begun")}
    assert len(begun) < 6
    assert len(fleet.left()) == 6 - len(begun)
    fleet.start("w2")
    until(
        lambda: all(fleet.noted()[f"done-{number}"] == 1 for number in range(6)),
        what="the second worker to finish",
    )


@pytest.mark.parametrize("seed", [11, 12])
def test_kill_9_loses_no_task(fleet: Fleet, seed: int) -> None:
    """When a worker is killed again and again in its tasks, another one finishes everything."""
    dice = random.Random(seed)
    for number in range(100):
        fleet.send("step", number, 0.1)
    for name in ("w1", "w2", "w3"):
        worker = fleet.start(name)
        before = sum(fleet.noted().values())
        aim = min(before + dice.randrange(1, 12), 200)  # a slow test may find all done
        until(lambda aim=aim: sum(fleet.noted().values()) >= aim, what="some tasks to run")  # type: ignore[misc]
        fleet.kill(worker)
    fleet.start("w4")
    until(
        lambda: all(fleet.noted()[f"done-{number}"] for number in range(100)),
        what="the last worker to finish",
    )
    until(lambda: not fleet.left(), what="every message to be acknowledged")
    assert sum(fleet.noted()[f"done-{number}"] for number in range(100)) <= 100 + 3 * 2


def test_kill_9_of_a_child_loses_no_task(fleet: Fleet) -> None:
    """A task whose pool child is killed runs again in another."""
    worker = fleet.start(concurrency=1)
    fleet.send("hold", 1)
    until(lambda: fleet.noted()["begun-1"])
    (child,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    (fleet.directory / "go").touch()
    until(lambda: fleet.noted()["done-1"], what="the task to run again")
    assert fleet.noted()["begun-1"] == 2


def test_no_queue_of_the_dead_stays(fleet: Fleet) -> None:
    """The control queues of killed workers and of clients are gone within seconds.

    A worker lives meanwhile.
    """
    first = fleet.start("w1")
    fleet.kill(first)
    fleet.start("w2")
    queues = fleet.directory / "broker" / "queues"

    def names() -> list[str]:
        return sorted(path.name for path in queues.iterdir())

    until(
        lambda: names() == ["celery", "w2@here.celery.pidbox"], what="the queues of the dead to go"
    )
    until(lambda: list(fleet.ping()) == ["w2@here"], what="an answer of the one that lives")


def test_a_worker_survives_error_with_the_directory(fleet: Fleet) -> None:
    """A worker whose broker's directory fails for a while connects again.

    A task that came meanwhile runs.
    """
    worker = fleet.start()
    fleet.send("step", 1)
    until(lambda: fleet.noted()["done-1"])
    queues, away = fleet.directory / "broker" / "queues", fleet.directory / "broker" / "away"
    os.rename(queues, away)
    queues.write_bytes(b"")
    log = fleet.directory / "w1.log"
    until(
        lambda: queues.is_dir() or "Not a directory" in log.read_text(), what="the worker to notice"
    )

    def put_back() -> bool:
        """The worker may just clear the place, or make a directory there."""
        try:
            if queues.exists():
                os.rename(queues, queues.with_name(f"gone-{time.monotonic_ns()}"))
            os.rename(away, queues)
        except OSError:
            return False
        return True

    until(put_back, what="the directory in its place")
    fleet.send("step", 2)
    until(lambda: fleet.noted()["done-2"], what="the worker to be back")
    assert worker.poll() is None
    until(lambda: list(fleet.ping()) == ["w1@here"], what="its answer")


def test_an_idle_worker_does_not_work(fleet: Fleet) -> None:
    """A worker with nothing to do uses little of a processor, though it polls."""
    worker = fleet.start()

    def used() -> float:
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    begun, before = time.monotonic(), used()
    let_pass(3)
    # load: it is a share of a processor
    assert (used() - before) / (time.monotonic() - begun) < 0.1
