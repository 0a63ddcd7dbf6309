"""A clock that was ahead is set back by hours, with sent ticks and ticks to come."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from support.clock import WallClock
from support.forks import child, end
from support.leading import leading
from support.suite import Suite
from support.ticks import taken
from support.wait import until
from warren.app.factory import make_app
from warren.beat.last_ticks import KnownTicks, LastTicks
from warren.beat.ticks import task_id
from warren.config import load

HOUR = 3600.0
JOBS = """
from celery import shared_task

@shared_task(name="jobs.tick")
def tick():
    pass
"""


def suite_with(scratch: Path, every: str, more: str = "") -> Suite:
    """A suite of one worker, and of one entry that ticks so often."""
    entry = f"[schedule:tick]\ntask = jobs.tick\nevery = {every}\n{more}"
    made = Suite(scratch, f"[worker:a]\nconcurrency = 2\n{entry}", modules="jobs")
    made.module("jobs", JOBS)
    return made


def beat(suite: Suite, *moments: float) -> None:
    """Run a new beat that takes the leadership, and looks at these moments of its clock.

    It logs as beat.
    """
    now = [moments[0]]
    sender = leading(suite, lambda: now[0])
    for now[0] in moments:
        sender.step()


def sent(suite: Suite) -> list[tuple[float, str]]:
    """Tick and id of each that was sent, in order."""
    return [
        (line["tick"], line["task_id"]) for line in suite.logged("beat", "tick_sent", entry="tick")
    ]


def since(suite: Suite, first: float) -> list[float]:
    """The ticks from `first` on that were sent, in order."""
    return [tick for tick, _ in sent(suite) if tick >= first]


def twice(ticks: list[float]) -> list[float]:
    """Those that are among them twice."""
    return [tick for tick, count in Counter(ticks).items() if count == 2]


def test_what_the_wrong_clock_had_sent_runs_again(scratch: Path) -> None:
    """Ticks to come are not held back, nor dropped by the worker that ran them an hour ago.

    Each is a new task, and runs.
    """
    clock = WallClock(scratch)
    suite = suite_with(scratch, "1s")
    with (
        suite.running("worker", "a", **clock.environment),
        suite.running("beat", **clock.environment),
    ):
        clock.set(int(HOUR))
        early = until(
            lambda: ahead if len(ahead := since(suite, time.time() + HOUR / 2)) > 5 else [],
            what="ticks an hour ahead",
        )
        clock.set(0)
        suite.await_event("beat", "clock_set_back", entry="tick")
        until(lambda: suite.log("beat")[-1]["event"] == "tick_sent", what="ticks of now")
        clock.set(int(early[0] - time.time()) - 1)  # that hour has passed
        again = until(lambda: twice(since(suite, early[0])), what="one of them once more")
        both = {identity for tick, identity in sent(suite) if tick == again[0]}
        assert len(both) == 2
        for identity in both:
            suite.await_event("worker", "task_succeeded", task_id=identity)
    assert not suite.logged("worker", "tick_repeated")


def test_the_next_leader_continues_in_the_same_round(scratch: Path) -> None:
    """A tick that was under way when a leader was lost behind the set-back has one id.

    This holds also if its successor once led before.
    """
    suite, base = suite_with(scratch, "30s"), 60_000_000 * 30.0
    memory = LastTicks(suite.directory / "state" / "beat" / "ticks.json")

    def leads_twice() -> None:
        now = [base + 1]
        sender = leading(suite, lambda: now[0])
        for now[0] in (base + 1, base + HOUR + 1, base + HOUR + 31):
            sender.step()
        sender.leader.resign()
        # another; the clock is right again
        assert end(child(lambda: beat(suite, base + 61, base + 91))) == 0
        known = memory.read()
        assert (known.last["tick"], known.rounds) == (base + 90, {"tick": 1})
        # as if lost behind its last sending
        memory.write(KnownTicks({"tick": base + 60}, {"tick": (base + 90,)}, known.rounds))
        assert sender.leader.lead()
        now[0] = base + 92
        sender.begin(sender.leader.recall())
        for now[0] in (base + 92, base + 121):
            sender.step()

    assert end(child(leads_twice)) == 0
    app = make_app(load(suite.etc))
    there = Counter(taken(app))
    assert there[task_id(app.main, "tick", base + 90, 1)] == 2
    assert there[task_id(app.main, "tick", base + 120, 1)] == 1
    assert [tick for tick, _ in sent(suite)][-2:] == [base + 90, base + 120]
    assert len(suite.logged("beat", "clock_set_back", entry="tick")) == 1


@pytest.mark.parametrize("ran", [True, False])
def test_a_daily_tick_that_came_early(scratch: Path, ran: bool) -> None:
    """What has run by a clock two hours ahead is not run again that day.

    What was only logged as missed, by `skip`, runs.
    """
    suite, base = suite_with(scratch, "24h", "misfire = skip\n"), 20_833 * 24 * HOUR
    late = 1 if ran else 60
    right = [base - HOUR, base - 1, base + 1, base + 24 * HOUR + 1]
    assert end(child(lambda: beat(suite, base - HOUR, base - 30, base + late, *right))) == 0
    expected = [base, base + 24 * HOUR]
    assert [tick for tick, _ in sent(suite)] == expected
    assert len(suite.logged("beat", "tick_missed", entry="tick")) == (0 if ran else 1)
    (told,) = suite.logged("beat", "clock_set_back", entry="tick")
    assert ("not sent again" in told["consequence"]) == ran
