"""What a task has started ends with the process that ran the task.

It holds the task's slots until then.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from support.suite import Suite
from support.supervised import programs, supervised
from support.wait import until
from warren.app.factory import make_app
from warren.config import load
from warren.quotas.ledgers import Ledgers
from warren.system.process import Process, process_of

JOBS = '''
import os, subprocess, sys, time
from celery import shared_task

DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
print(os.getpid(), file=open(sys.argv[1], "a"), flush=True)
time.sleep(1000)
"""

def start(path):
    """Start a child, and a daemon with an empty environment; note their numbers."""
    child = subprocess.Popen(["sleep", "1000"])
    subprocess.run([sys.executable, "-c", DAEMON, path], env={}, check=True)
    print(child.pid, file=open(path, "a"), flush=True)
    while len(open(path).readlines()) < 2:
        time.sleep(0.01)

@shared_task(name="jobs.leave")
def leave(path, seconds=0):
    start(path)
    time.sleep(seconds)
    return os.getpid()

@shared_task(name="jobs.call")
def call(path):
    start(path)

@shared_task(name="jobs.stop_worker")
def stop_worker(path):
    print(os.getpid(), file=open(path, "a"), flush=True)
    if len(open(path).readlines()) == 3:
        return "well"
    os.kill(os.getppid(), 15)
    time.sleep(1000)

@shared_task(name="jobs.add")
def add(a, b):
    return a + b
'''

INI = """[queue:calls]
tasks = jobs.call
[queue:recycled]
tasks = jobs.leave
[worker:a]
queues = default, calls
concurrency = 1
stop_timeout = 1s
[worker:b]
queues = recycled
concurrency = 1
max_tasks_per_child = 1
stop_timeout = 5s
[quota:provider]
limit = 2/h
tasks = jobs.call
longest_call = 1s
[quota-watchdog]
enabled = false
"""


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Suite, Any]]:
    """Two workers under supervisord; one takes a new process for each task."""
    with TemporaryDirectory(prefix="warren-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        suite = Suite(Path(directory), INI, modules="jobs")
        suite.module("jobs", JOBS)
        with supervised(suite):
            yield suite, make_app(load(suite.etc))


def started(path: Path) -> list[Process]:
    """Return the child and the daemon of a task, once both are there."""
    return [process for process in map(process_of, numbers(path)) if process]


def numbers(path: Path) -> list[int]:
    """Return the numbers of the child and the daemon of a task, once both are there."""
    lines = until(
        lambda: path.exists() and len(path.read_text().split()) == 2 and path.read_text().split(),
        what="two processes",
    )
    return [int(line) for line in lines or []]


def gone(processes: list[Process]) -> None:
    """Wait until none of them lives."""
    assert len(processes) == 2
    until(
        lambda: not [each for each in processes if each.alive],
        what="the end of what the task has started",
    )


def test_a_time_limit_ends_it_all(running: tuple[Suite, Any], scratch: Path) -> None:
    """A task that takes too long is ended with its child and its daemon."""
    _, app = running
    result = app.send_task(
        "jobs.leave", [str(scratch / "pids"), 600], queue="default", time_limit=10
    )
    left = started(scratch / "pids")
    result.get(timeout=120, propagate=False)
    gone(left)


def test_it_lives_as_long_as_its_process(running: tuple[Suite, Any], scratch: Path) -> None:
    """After a task's own end nothing is killed.

    When its process is killed, all of it is, and a line names it.
    """
    suite, app = running
    child = app.send_task("jobs.leave", [str(scratch / "pids")], queue="default").get(timeout=120)
    left = started(scratch / "pids")
    assert app.send_task("jobs.add", [1, 2]).get(timeout=120) == 3
    assert all(each.alive for each in left)
    os.kill(child, signal.SIGKILL)
    gone(left)
    until(lambda: suite.logged("worker", "leftovers_ended"), what="the line of it")


def test_a_process_that_is_replaced_leaves_nothing(
    running: tuple[Suite, Any], scratch: Path
) -> None:
    """With max_tasks_per_child the new process begins with nothing of the old one's."""
    _, app = running
    app.send_task("jobs.leave", [str(scratch / "pids")]).get(timeout=120)
    left = [process_of(pid) for pid in numbers(scratch / "pids")]  # None for what has ended already
    until(
        lambda: not [each for each in left if each and each.alive],
        what="the end of what the task has started",
    )


def test_a_slot_stays_open_as_long_as_somebody_may_call(
    running: tuple[Suite, Any], scratch: Path
) -> None:
    """The slot of a task that left a process behind cools from that process's end.

    It does not cool from the task's end.
    """
    suite, app = running
    app.send_task("jobs.call", [str(scratch / "pids")]).get(timeout=120)
    left = started(scratch / "pids")
    # the worker has seen the end of the call by then
    assert app.send_task("jobs.add", [1, 2]).get(timeout=120) == 3
    ledger = Ledgers(load(suite.etc))["provider"]
    assert (ledger.counts().open, ledger.counts().cooling) == (1, 0)
    for each in left:
        os.kill(each.pid, signal.SIGKILL)
    until(
        lambda: (ledger.counts().open, ledger.counts().cooling) == (0, 1), what="the slot to cool"
    )


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_end_of_the_worker_ends_it_all(
    running: tuple[Suite, Any], scratch: Path, how: str
) -> None:
    """Nothing outlives a worker, whether it stops cleanly or is killed.

    If it is killed supervisord sees to it.
    """
    suite, app = running
    app.send_task("jobs.leave", [str(scratch / "pids")], queue="default").get(timeout=120)
    left = started(scratch / "pids")
    pid = programs(suite)["worker-a"].pid or 0
    os.kill(pid, signal.SIGTERM if how == "stop" else signal.SIGKILL)
    gone(left)
    until(lambda: programs(suite)["worker-a"].pid not in (pid, None), what="the next worker")


def test_a_task_that_stops_its_worker_is_counted(running: tuple[Suite, Any], scratch: Path) -> None:
    """The task sends SIGTERM to the worker each time it runs, and each time is a crash.

    supervisord starts the worker again.
    """
    suite, app = running
    result = app.send_task("jobs.stop_worker", [str(scratch / "pids")])
    assert result.get(timeout=400) == "well"
    counted = [
        line["crashes"]
        for line in suite.logged("worker", "task_requeued", task_id=result.id)
        if "crashes" in line
    ]
    assert counted == [1, 2]
