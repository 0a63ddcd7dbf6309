"""A beat that is killed at any line of its turn, on the embedded broker."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from support.forks import child, end, killed_at
from support.leading import leading
from support.suite import Suite
from support.ticks import taken
from warren.app.factory import make_app
from warren.beat import schedule
from warren.beat import sender as module
from warren.beat.last_ticks import KnownTicks, LastTicks
from warren.beat.sender import STEP, Sender
from warren.beat.ticks import GRACE, task_id
from warren.config import load

INI = """
[schedule:run]
task = jobs.tick
every = 3s
[schedule:skip]
task = jobs.tick
every = 3s
misfire = skip
"""
JOBS = "from celery import shared_task\n\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n"
#: Lines of a turn that are left out between two at which it is killed.
STRIDE = 8
#: Where a turn of beat acts.
FILES = (module.__file__, schedule.__file__)


def step(suite: Suite, later: float = 0.0) -> None:
    """The first turn of a beat that takes the leadership, `later` so many seconds than now."""
    leading(suite, lambda: time.time() + later).step()


def killed_behind_sending(suite: Suite) -> None:
    """A beat that is killed when it has sent all that was due, and remembers it."""
    # By a clock that stands, so that the whole of what is due is begun in one turn, however slow
    # the machine is.
    beat, write, begun = leading(suite, time.time, lambda: 0.0), LastTicks.write, [False]

    def killed(memory: LastTicks, known: KnownTicks) -> None:
        if begun[0]:  # that was before the sending
            os.kill(os.getpid(), signal.SIGKILL)
        begun[0] = bool(known.begun)
        write(memory, known)

    setattr(LastTicks, "write", killed)  # noqa: B010
    beat.step()


def steps(suite: Suite, batch: int, longest: int) -> None:
    """Run a beat that continues later until nothing is left.

    It sends `longest` at a step, with so many ticks on their way at a time.
    """
    setattr(module, "BATCH", batch)  # noqa: B010
    send, sends = Sender._send, [0.0]
    beat = leading(suite, lambda: time.time() + GRACE + 5, lambda: sends[0])

    def counted(*arguments: Any, **options: Any) -> None:
        sends[0] += STEP / longest
        send(*arguments, **options)

    setattr(Sender, "_send", counted)  # noqa: B010
    before: dict[str, float] = {}
    while beat.schedule.ticks != before:
        before = dict(beat.schedule.ticks)
        beat.step()


def test_each_tick_is_there_or_told(scratch: Path) -> None:
    """Wherever beat is killed, its successor sends what it has not.

    Each tick is sent or logged as missed, under its one id.
    """
    suite = Suite(scratch, INI, modules="jobs")
    suite.module("jobs", JOBS)
    memory = LastTicks(suite.directory / "state" / "beat" / "ticks.json")
    line, killed, again = 0, True, 0
    while killed:
        # some were missed, some are due; all are missed when it is later
        first = int(time.time() - GRACE - 20) // 3 * 3.0
        memory.write(KnownTicks({"run": first, "skip": first}))
        (suite.directory / "log" / "beat.log").unlink(missing_ok=True)
        killed = killed_at(line, lambda: step(suite), FILES)
        assert end(child(lambda: step(suite, later=GRACE + 5))) == 0
        again += balanced(suite, first, memory.read().last)
        line += STRIDE
    assert line > 30
    assert again > 0  # else none was killed between sending and remembering


def test_what_it_had_begun_is_not_forgotten(scratch: Path) -> None:
    """Killed behind its sending, beat's successor sends all of that again under the same ids.

    It does not matter how little fits a step or a batch.

    So it does when it is killed in the midst of that, and the third one continues. None is told as
    missed that is there.
    """
    suite = Suite(scratch, INI, modules="jobs")
    suite.module("jobs", JOBS)
    memory = LastTicks(suite.directory / "state" / "beat" / "ticks.json")
    for line, batch, longest in (
        (0, 100, 1),
        (0, 3, 100),
        *((line, 3, 100) for line in range(40, 400, 40)),
    ):
        first = int(time.time() - GRACE + 1) // 3 * 3.0  # all are due, and missed when it is later
        memory.write(KnownTicks({"run": first, "skip": first}))
        (suite.directory / "log" / "beat.log").unlink(missing_ok=True)
        assert end(child(lambda: killed_behind_sending(suite))) == -signal.SIGKILL
        assert len(memory.read().begun["run"]) >= 3
        if line:
            killed_at(line, partial(steps, suite, batch, longest), FILES)
        assert end(child(partial(steps, suite, batch, longest))) == 0
        assert balanced(suite, first, memory.read().last) > 0


def balanced(suite: Suite, first: float, last: Mapping[str, float]) -> int:
    """Look at the ticks behind `first`, up to the last ones.

    Return how often one is there twice.
    """
    app = make_app(load(suite.etc))
    there = Counter(taken(app))
    for name in ("run", "skip"):
        due = {first + 3.0 * number for number in range(1, round((last[name] - first) / 3.0) + 1)}
        sent = {tick for tick in due if there[task_id(app.main, name, tick)]}
        told: set[float] = set()
        for line in suite.logged("beat", "tick_missed", entry=name):
            gap = {tick for tick in due if line["after"] < tick <= line["tick"]}
            assert len(gap - sent) <= line["left_out"]
            # what is told as missed is not there
            assert len(gap & sent) <= len(gap) - line["left_out"] + line["unsure"]
            told |= gap
        assert due - sent <= told
        assert len(due) >= 7
    return there.total() - len(there)
