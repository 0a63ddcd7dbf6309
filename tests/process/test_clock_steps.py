"""The wall clock is set, by hours and by seconds, forward and back, while the suite is at work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.calls import NOTING, calls, worst
from support.clock import WallClock
from support.suite import Suite
from support.supervised import programs, supervised
from support.wait import until
from warren.app.factory import make_app
from warren.config import load

LIMIT, WINDOW, EVERY = 10, 2.0, 2
#: Seconds ahead of the machine's clock, one after the other: forward by an hour and back to the
#: right time; forward by a day and back to the right time; back by a little, which ticks wait for;
#: and by more than ticks wait for.
STEPS = (3600, 0, 86400, 0, -6, -7200)
JOBS = (
    NOTING
    + """
from celery import shared_task

@shared_task(name="jobs.call")
def call(path):
    note(path)

@shared_task(name="jobs.tick")
def tick():
    pass
"""
)
INI = f"""
[queue:calls]
tasks = jobs.call
[worker:a]
queues = default, calls
concurrency = 2
[quota:api]
limit = {LIMIT}/{WINDOW:g}s
tasks = jobs.call
longest_call = 1s
[schedule:tick]
task = jobs.tick
every = {EVERY}s
"""


@pytest.fixture
def clock(scratch: Path) -> WallClock:
    return WallClock(scratch)


@pytest.fixture
def suite(scratch: Path, clock: WallClock) -> Iterator[Suite]:
    """A supervised suite that lives by the clock."""
    made = Suite(scratch, INI, modules="jobs")
    made.module("jobs", JOBS)
    with supervised(made, **clock.environment):
        yield made


def test_no_step_of_the_clock_is_felt(suite: Suite, clock: WallClock, scratch: Path) -> None:
    """No daemon is taken for hung or started again, and the quota holds and is used.

    Ticks continue, and none is sent twice.
    """
    app, path = make_app(load(suite.etc)), scratch / "calls"
    before = {name: program.pid for name, program in programs(suite).items()}
    send(app, path)
    until(lambda: len(calls(path)) > LIMIT, what="calls")
    for step in STEPS:
        send(app, path)  # there are always some that wait, however slow the machine
        clock.set(step)
        began, called, ticked = time.time(), len(calls(path)), len(ticks(suite))
        until(
            lambda called=called: len(calls(path)) > called + LIMIT,  # type: ignore[misc]
            what=f"calls after the clock was set to {step}",
        )
        until(
            lambda ticked=ticked: len(ticks(suite)) > ticked + 1,  # type: ignore[misc]
            what=f"ticks after the clock was set to {step}",
        )
        assert began + step - EVERY <= ticks(suite)[-1] <= time.time() + step, (
            "ticks follow the clock"
        )
    assert {name: program.pid for name, program in programs(suite).items()} == before
    assert not [
        line
        for line in suite.log("supervisord")
        if line["event"] in ("program_hung", "program_stuck")
    ]
    assert worst(calls(path), WINDOW) <= LIMIT
    assert max(Counter(ticks(suite)).values()) == 1


def send(app: Any, path: Path) -> None:
    """Calls for some windows."""
    for _ in range(LIMIT * 8):
        app.send_task("jobs.call", [str(path)], ignore_result=True)


def ticks(suite: Suite) -> list[float]:
    """What was sent, in order."""
    return [line["tick"] for line in suite.logged("beat", "tick_sent", entry="tick")]
