"""What `warren check` says of code that was written for Celery alone."""

from __future__ import annotations

from pathlib import Path

from support.suite import Suite
from support.wait import run_to_end
from warren.config.advice import SILENT

RECEIVERS = """
from celery import signals

def heard(**given):
    pass

for name in vars(signals):
    if hasattr(getattr(signals, name), "connect"):
        getattr(signals, name).connect(heard)
"""
WAYS = """
from celery import Task, shared_task

class Own(Task):
    Request = "jobs:Request"

@shared_task(name="jobs.plain")
def plain():
    pass

@shared_task(name="jobs.limited", rate_limit="10/m")
def limited():
    pass

@shared_task(name="jobs.request", base=Own)
def request():
    pass
"""


def warnings(scratch: Path, code: str) -> list[str]:
    """Return what check warns of in a module with this code."""
    suite = Suite(scratch, "[worker:a]\n", modules="jobs")
    suite.module("jobs", code)
    checked = run_to_end(
        ["warren", "--config", str(suite.etc), "check"], capture_output=True, text=True
    )
    assert checked.returncode == 0
    return [
        line.removeprefix("warning: ") for line in checked.stderr.splitlines() if "jobs.py" in line
    ]


def test_receivers_of_signals_that_never_come(scratch: Path) -> None:
    """Each is named, with file and line, and with what to use in its place."""
    place = f"{scratch}/app/jobs.py:4"
    assert warnings(scratch, RECEIVERS) == [
        f"{place}: heard is never called: Warren does not send the signal {name}; {remedy}"
        for name, remedy in SILENT.items()
    ]


def test_ways_that_the_worker_does_not_go(scratch: Path) -> None:
    """A rate_limit and a Request of a task's own are named with file and line.

    A task without them is not.
    """
    assert [each.partition(", ")[0] for each in warnings(scratch, WAYS)] == [
        f"{scratch}/app/jobs.py:11: jobs.limited: rate_limit is counted in each worker's memory",
        (
            f"{scratch}/app/jobs.py:15: jobs.request: its own Request is not used: the worker "
            "needs Warren's"
        ),
    ]
