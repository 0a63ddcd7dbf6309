"""Fifty edits of the configuration under load."""

from __future__ import annotations

from support.figures import Figure
from support.installed import RABBITMQ, WORKER, Installed
from support.wait import until

TASKS, RELOADS = 10_000, 50


def test_fifty_reloads_while_ten_thousand_tasks_run(suite: Installed, figure: Figure) -> None:
    """Every other reload restarts the worker, the ones between touch only the schedule: no task is lost, none runs twice."""
    suite.send(1, TASKS, 0.06)
    until(lambda: suite.runs().ended, what="the first task to end")
    worker = suite.pid("worker-main")
    for number in range(RELOADS):
        threads = 3 + number // 2 % 2
        suite.configure(
            RABBITMQ
            + WORKER.replace("concurrency = 2", f"concurrency = {threads}")
            + f"[schedule:tick]\ntask = jobs.nothing\nevery = {number + 5}s\n"
        )
        suite.reload()
    at_work = TASKS - len(suite.runs().ended)
    runs = suite.all_done(1, TASKS, 400)
    figure(f"{RELOADS} reloads while {TASKS} tasks run: lost", len(runs.lost(1, TASKS)), "0")
    figure(f"{RELOADS} reloads while {TASKS} tasks run: run twice", len(runs.again()), "0 beyond what late ack explains")
    assert len(suite.logged("supervisord", "reloaded")) >= RELOADS
    assert suite.pid("worker-main") != worker
    assert at_work > 0, "the last reload was to meet tasks at work"
    assert not runs.again()
