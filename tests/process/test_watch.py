"""`warren watch`: the progress of a task that runs in a real worker."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.suite import ENVIRONMENT, WARREN, Suite
from support.wait import TIMEOUT, end_of, until

JOBS = """
import os, time
from celery import shared_task
from warren import progress

@shared_task(name="jobs.export")
def export(go, fails=False):
    for row in progress(range(4), note="[b]rows[/b]"):
        while row == 2 and not os.path.exists(go):
            time.sleep(0.05)
        time.sleep(0.3)
    if fails:
        raise ValueError("no rows")
    return "done"
"""

Sent = Callable[..., str]


@pytest.fixture
def started(suite: Suite) -> Iterator[Suite]:
    """A suite whose worker runs."""
    suite.head = suite.head.replace("modules = ", "modules = jobs_export\n#", 1)
    suite.write("[worker:a]\n")
    suite.module("jobs_export", JOBS)
    with suite.running("worker", "a"):
        yield suite


@pytest.fixture
def sent(started: Suite) -> Sent:
    """Sends the task, as a program that will read its result; returns its id."""
    from warren.app.factory import make_app
    from warren.config import load

    app = make_app(load(started.etc))
    return lambda *arguments: str(app.send_task("jobs.export", arguments).id)


def _watch(suite: Suite, task: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [WARREN, "--config", suite.etc, "watch", task, *more],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_each_change_is_an_object(started: Suite, sent: Sent, tmp_path: Path) -> None:
    """A program reads the steps while the task runs, and its result at the end."""
    watching = _watch(started, sent(str(tmp_path / "go")), "--json")
    assert watching.stdout is not None
    said = []
    for line in watching.stdout:
        said.append(json.loads(line))
        if said[-1].get("done") == 2:
            (tmp_path / "go").touch()
    assert end_of(watching) == 0, said
    assert {each["state"] for each in said} <= {"PENDING", "STARTED", "PROGRESS", "SUCCESS"}
    step = next(each for each in said if each.get("done") == 2)
    assert (step["total"], step["note"]) == (4, "[b]rows[/b]")
    assert said[-1] | {"task_id": ""} == {"task_id": "", "state": "SUCCESS", "result": "done"}


def test_a_task_that_fails_is_a_failure(started: Suite, sent: Sent, tmp_path: Path) -> None:
    """The error stands where the result would, and the exit code says it too."""
    (tmp_path / "go").touch()
    done = started.warren("watch", sent(str(tmp_path / "go"), True))
    assert (done.returncode, "ValueError: no rows" in done.stdout) == (1, True), done.stdout


def test_a_terminal_gets_a_bar(started: Suite, sent: Sent, tmp_path: Path) -> None:
    """People see a bar with the steps; a task's note is text for it, and no markup."""
    task = sent(str(tmp_path / "go"))
    ours, theirs = pty.openpty()
    command = [str(WARREN), "--config", str(started.etc), "watch", task]
    size = {"TERM": "xterm", "COLUMNS": "120"}
    watching = subprocess.Popen(command, env=ENVIRONMENT | size, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 4096):
            shown += more
            if b"2/4" in shown:
                (tmp_path / "go").touch()
    except OSError:  # how Linux says that the last writer is gone
        os.close(ours)
    assert end_of(watching) == 0, shown
    assert b"2/4" in shown
    assert b"[b]rows[/b]" in shown
    assert shown.rstrip().endswith(b"done")


def test_a_watch_that_is_given_up(started: Suite, sent: Sent, tmp_path: Path) -> None:
    """After its timeout it says where to look; the task is not touched."""
    task = sent(str(tmp_path / "go"))
    until(lambda: started.logged("worker", "task_started", task_id=task), TIMEOUT, "the task")
    done = started.warren("watch", task, "--timeout", "1s")
    assert done.returncode == 1
    assert f"not done after 1 s; warren logs --task {task}" in done.stderr
    (tmp_path / "go").touch()
    assert started.warren("watch", task).returncode == 0
