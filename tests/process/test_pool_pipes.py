"""What a task writes into the pipes of other pool children, or reads from them.

It leaves no task without an end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.suite import Suite
from support.wait import result_of, until
from warren.app.factory import make_app
from warren.config import load

JOBS = """
import os, time
from pathlib import Path
from celery import shared_task

@shared_task(name="jobs.mark")
def mark(path):
    with open(path, "a") as file:
        file.write("x")
    time.sleep(1)  # meanwhile the next ones go to the other children

def pipes(pid, flags):
    found = {}
    for number in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name, said = os.readlink(number), Path(f"/proc/{pid}/fdinfo/{number.name}").read_text()
        except OSError:
            continue
        if name.startswith("pipe:") and int(said.split("flags:")[1].split()[0], 8) & 3 == flags:
            found[name] = number
    return found

def siblings():
    worker = os.getppid()
    named = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return [int(pid) for pid in named if int(pid) != os.getpid()]

@shared_task(name="jobs.poison")
def poison(text):
    # A child has closed the end of its own inqueue by which that is written.
    for pid in siblings():
        try:
            reading, writing = pipes(pid, os.O_RDONLY), pipes(pid, os.O_WRONLY)
            for name in set(reading) - set(writing):
                fd = os.open(reading[name], os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, bytes.fromhex(text))
                os.close(fd)
        except FileNotFoundError:
            pass  # one that was poisoned before is being replaced

@shared_task(name="jobs.flood")
def flood(text):
    for pid in [os.getpid(), *siblings()]:
        try:
            found = [*pipes(pid, os.O_RDONLY).values(), *pipes(pid, os.O_WRONLY).values()]
        except FileNotFoundError:
            continue  # one that was poisoned before is being replaced
        for number in found:
            try:
                fd = os.open(number, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                os.write(fd, bytes.fromhex(text))
            except OSError:
                pass
            os.close(fd)
"""
INI = "[worker:a]\nconcurrency = 3\nprefetch = 4\nstop_timeout = 10s\n"
#: What is written, and whether the child that reads it waits for more.
POISON = {
    "a huge size": ("7fffffff", True),
    "half a size": ("7fff", True),
    "a small size": ("00000004abcdefab", False),
}
PLAIN = 12


def tasks(suite: Suite, app: Any, marks: Path) -> None:
    """Run plain tasks, each of which has one run and one end."""
    before = len(suite.logged("worker", "task_succeeded", task="jobs.mark"))
    sent = [app.send_task("jobs.mark", [str(marks)]) for _ in range(PLAIN)]
    for result in sent:
        result_of(result)
    until(
        lambda: len(suite.logged("worker", "task_succeeded", task="jobs.mark")) == before + PLAIN,
        what="their lines",
    )
    assert len(marks.read_text()) == PLAIN
    assert not suite.logged("worker", "task_failed", task="jobs.mark")


@pytest.mark.timeout(900)
def test_garbage_where_the_next_task_of_another_child_begins(scratch: Path) -> None:
    """The child that waits for the rest of a message is ended and named.

    Its task runs once, in another child.
    """
    suite = Suite(scratch, INI, modules="jobs")
    suite.module("jobs", JOBS)
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready")
        app = make_app(load(suite.etc))
        tasks(suite, app, scratch / "before")
        for number, (text, waits) in enumerate(POISON.values()):
            told = len(suite.logged("worker", "pool_stuck"))
            result_of(app.send_task("jobs.poison", [text]))
            tasks(suite, app, scratch / str(number))
            assert (len(suite.logged("worker", "pool_stuck")) > told) == waits
        assert not suite.logged("worker", "task_requeued")
        # Into everything: the pipes by which the children answer are among them, and what was at
        # work counts as lost.
        flooded = [app.send_task("jobs.flood", [text]) for text in ("7fffffff", "abcdef", "000000")]
        for result in flooded:
            until(result.ready, what="its end")
        tasks(suite, app, scratch / "after")
        assert worker.poll() is None
    assert not suite.logged("worker", "crashed")
