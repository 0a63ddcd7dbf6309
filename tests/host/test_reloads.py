"""Many edits of the configuration under load."""

from __future__ import annotations

import os

import pytest

from support.figures import Figure
from support.installed import RABBITMQ, WORKER, Installed
from support.wait import until

#: Tasks that are sent before each reload, reloads (docs/operate.md has the figures of fifty), and
#: all tasks.
MORE, RELOADS = 200, int(os.environ.get("WARREN_RELOADS", "20"))
TASKS = MORE * RELOADS


@pytest.mark.timeout(3600)
def test_reloads_while_tasks_run(suite: Installed, figure: Figure) -> None:
    """No task is lost and none runs twice over reloads.

    Every other reload restarts the worker, the ones between touch only the schedule.
    """
    worker = suite.pid("worker-main")
    for number in range(RELOADS):
        suite.send(number * MORE + 1, (number + 1) * MORE, 0.06)
        until(lambda number=number: suite.runs().begun[number * MORE + 1], what="tasks at work")  # type: ignore[misc]
        threads = 3 + number // 2 % 2
        suite.configure(
            RABBITMQ
            + WORKER.replace("concurrency = 2", f"concurrency = {threads}")
            + f"[schedule:tick]\ntask = jobs.nothing\nevery = {number + 5}s\n"
        )
        suite.reload()
    runs = suite.all_done(1, TASKS, 600)
    figure(f"{RELOADS} reloads while {TASKS} tasks run: lost", len(runs.lost(1, TASKS)), "0")
    figure(
        f"{RELOADS} reloads while {TASKS} tasks run: run twice",
        len(runs.again()),
        "0 beyond what late ack explains",
    )
    assert len(suite.logged("supervisord", "reloaded")) >= RELOADS
    assert suite.pid("worker-main") != worker
    assert not runs.again()
