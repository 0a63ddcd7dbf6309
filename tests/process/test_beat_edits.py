"""Edited schedules under beat: new, edited, disabled and many entries, and unsendable tasks."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.forks import child, end
from support.leading import leading
from support.suite import Suite
from support.wait import until
from warren.beat import schedule
from warren.beat import sender as sender_module
from warren.beat.last_ticks import LastTicks
from warren.beat.sender import STEP, Sender
from warren.config import load

#: A moment at which an entry of any length up to a day ticks.
DAY = 20_833 * 86400.0
JOBS = """
from celery import Task, shared_task

FAULT = ConnectionRefusedError

@shared_task(name="jobs.tick")
def tick():
    pass

class Own(Task):
    def apply_async(self, *args, **options):
        send(self, args, options)

@shared_task(name="jobs.own", base=Own)
def own():
    pass

def send(task, args, options):
    raise FAULT("the application's own database")
"""


def entry(rule: str, task: str = "jobs.tick", name: str = "tick") -> str:
    """A section of the schedule."""
    return f"[schedule:{name}]\ntask = {task}\n{rule}\n"


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """One entry, once a day."""
    made = Suite(scratch, entry("every = 24h"), modules="jobs")
    made.module("jobs", JOBS)
    return made


def ticks(suite: Suite, event: str = "tick_sent") -> list[float]:
    """Those of the entry that were sent, or told as missed."""
    return [line["tick"] - DAY for line in suite.logged("beat", event, entry="tick")]


def by_the_clock(suite: Suite, *acts: float | str | Callable[[], object]) -> None:
    """Run a beat that takes the leadership and looks at these moments behind DAY.

    A text is the schedule from then on, a call is made.
    """

    def steps() -> None:
        now, sender = [DAY], None
        for act in acts:
            if isinstance(act, str):
                assert sender is not None
                reload(suite, sender, act)
            elif callable(act):
                act()
            else:
                now[0] = DAY + act
                sender = sender or leading(suite, lambda: now[0])
                sender.step()

    assert end(child(steps)) == 0


def reload(suite: Suite, sender: Sender, schedule: str) -> None:
    """Does what the daemon does at a reload."""
    suite.write(schedule)
    sender.take_up(load(suite.etc))
    sender.begin(sender.schedule.known)


@pytest.mark.parametrize(("back", "missed"), [(5.0, []), (50.0, [0.0])])
def test_a_new_entry_is_known_to_the_next_leader(
    suite: Suite, back: float, missed: list[float]
) -> None:
    """Also before its first tick: one that comes due while no beat leads is sent late, or told."""
    by_the_clock(suite, -60.0)
    by_the_clock(suite, back)
    assert ticks(suite) == [0.0]
    assert ticks(suite, "tick_missed") == missed


def test_an_edited_rule_begins_with_its_next_tick(suite: Suite) -> None:
    """What would have come due before was not missed and is not made up for.

    The successor knows that, too.
    """
    by_the_clock(
        suite,
        -60.0,
        1.0,
        3590.0,
        entry("every = 10m"),
        3599.0,
        3601.0,
        4100.0,
        entry("cron = 5,7 * * * *"),
        4100.5,
    )
    by_the_clock(suite, 4101.0, 7499.0, 7501.0)
    assert ticks(suite, "tick_missed") == []
    assert ticks(suite) == [0.0, 3600.0, 7500.0]


def test_an_entry_that_was_disabled_for_a_while(suite: Suite) -> None:
    """Enabled again it begins with its next tick, whether the same beat leads or another."""
    rule = "every = 1h"
    suite.write(entry(rule))
    by_the_clock(
        suite,
        -60.0,
        1.0,
        entry(rule + "\nenabled = false"),
        2.0,
        9000.0,
        entry(rule),
        9001.0,
        10801.0,
    )
    assert (ticks(suite), ticks(suite, "tick_missed")) == ([0.0, 10800.0], [])
    by_the_clock(suite, 10802.0, entry(rule + "\nenabled = false"), 10803.0)
    assert "tick" not in LastTicks(suite.directory / "state" / "beat" / "ticks.json").read().last
    suite.write(entry(rule))
    by_the_clock(suite, 20000.0, 21601.0)
    assert (ticks(suite), ticks(suite, "tick_missed")) == ([0.0, 10800.0, 21600.0], [])


def test_an_edit_of_all_else_changes_no_tick(suite: Suite) -> None:
    """Arguments, queue, misfire: ticks that were missed are told and made up for."""
    by_the_clock(suite, -60.0, entry("every = 24h\nmisfire = run\nkwargs = {}"), 50.0)
    assert (ticks(suite), ticks(suite, "tick_missed")) == ([0.0], [0.0])


@pytest.mark.parametrize("fault", ["ConnectionRefusedError", "SystemExit", "TypeError"])
def test_a_task_whose_own_code_fails_holds_up_no_other(suite: Suite, fault: str) -> None:
    """Whatever it raises: its ticks are left out and told, the others are sent."""
    suite.module("jobs", JOBS.replace("FAULT = ConnectionRefusedError", f"FAULT = {fault}"))
    suite.write(entry("every = 1s", "jobs.own", "own") + entry("every = 1s"))
    by_the_clock(suite, -0.5, 0.5, 1.5, 2.5)
    assert ticks(suite) == [0.0, 1.0, 2.0]
    failed = suite.logged("beat", "tick_failed")
    assert [line["tick"] - DAY for line in failed] == [0.0, 1.0, 2.0]
    assert "own database" in failed[0]["reason"]


def test_a_task_whose_own_broker_is_away_holds_up_no_other(suite: Suite, scratch: Path) -> None:
    """The others are sent, however many such tasks there are.

    Its own are sent when the exchange is back: none is lost.
    """
    jobs = JOBS.replace(
        "    raise FAULT", f"    if os.path.exists('{scratch}/away'):\n        raise FAULT"
    )
    jobs = (
        f"import os\nfrom kombu.exceptions import OperationalError\n{jobs}    "
        "Task.apply_async(task, *args, **options)\n"
    )
    suite.module("jobs", jobs.replace("FAULT = ConnectionRefusedError", "FAULT = OperationalError"))
    (scratch / "away").touch()
    own = [f"own{number}" for number in range(3)]
    suite.write(
        "".join(entry("every = 1s", "jobs.own", name) for name in own) + entry("every = 1s")
    )
    by_the_clock(suite, -0.5, 0.5, 1.5, 2.5, (scratch / "away").unlink, 3.5)
    assert ticks(suite) == [0.0, 1.0, 2.0, 3.0]
    for name in own:
        assert [line["tick"] - DAY for line in suite.logged("beat", "tick_sent", entry=name)] == [
            0.0,
            1.0,
            2.0,
            3.0,
        ]
    assert {line["consequence"] for line in suite.logged("beat", "tick_failed")} == {
        "beat tries the tick again"
    }


def test_a_task_that_can_be_sent_now_and_then(suite: Suite) -> None:
    """Its later ticks wait for the one that failed, beyond a batch, too: all are sent, in order."""
    jobs = (
        f"from kombu.exceptions import OperationalError\ncalls = []\n{JOBS}    "
        "Task.apply_async(task, *args, **options)\n"
    )
    jobs = jobs.replace(
        "    raise FAULT", "    calls.append(1)\n    if len(calls) % 2:\n        raise FAULT"
    )
    suite.module("jobs", jobs.replace("FAULT = ConnectionRefusedError", "FAULT = OperationalError"))
    suite.write(entry("every = 1s", "jobs.own"))
    by_the_clock(suite, -0.5, lambda: setattr(sender_module, "BATCH", 1), 3.5, 3.6, 3.7, 3.8, 3.9)
    assert ticks(suite) == [0.0, 1.0, 2.0, 3.0]
    assert not suite.logged("beat", "tick_missed")


def test_results_that_are_away_hold_up_no_tick(suite: Suite, scratch: Path) -> None:
    """Beat reads none: it asks the results' Redis for nothing."""
    (secret := scratch / "results").touch(mode=0o600)
    secret.write_text("redis://127.0.0.1:1/0", encoding="utf-8")
    suite.write(f"[results]\nurl_file = {secret}\n" + entry("every = 1s"))
    by_the_clock(suite, -0.5, 0.5, 1.5)
    assert ticks(suite) == [0.0, 1.0]
    assert not suite.logged("beat", "tick_failed")


def test_entries_are_looked_at_in_parts(suite: Suite) -> None:
    """Where a step's time is enough for one entry only, each entry is sent in turn.

    Where nothing ticks no rule is searched.
    """
    suite.write("".join(entry("every = 2s", name=f"each{number}") for number in range(5)))
    searched = [0.0]

    def slowly(function: Any) -> Any:
        def slow(*arguments: Any) -> Any:
            searched[0] += STEP
            return function(*arguments)

        return slow

    def steps() -> None:
        now = [DAY - 1]
        sender = leading(suite, lambda: now[0], lambda: searched[0])
        sender.step()
        setattr(schedule, "due", slowly(vars(schedule)["due"]))  # noqa: B010
        for now[0] in (DAY + number / 4 for number in range(40)):
            sender.step()
        setattr(schedule, "next_tick", slowly(vars(schedule)["next_tick"]))  # noqa: B010
        before = searched[0]
        for _ in range(20):
            sender.step()
            sender.pause()
        assert searched[0] - before <= 5 * STEP  # those that were left

    assert end(child(steps)) == 0
    sent = suite.logged("beat", "tick_sent")
    assert {line["tick"] - DAY for line in sent if line["entry"] == "each4"} >= {0.0, 2.0, 4.0, 6.0}
    assert not suite.logged("beat", "tick_missed")


def test_a_reload_while_it_runs(suite: Suite) -> None:
    """The daemon takes an edited entry up, and tells no tick as missed."""
    with suite.running("beat") as beat:
        suite.await_event("beat", "leader_taken")
        suite.write(entry("every = 1s"))
        beat.send_signal(signal.SIGHUP)
        suite.await_event("beat", "reloaded")
        until(lambda: len(ticks(suite)) > 2, what="ticks of the new rule")
    assert not suite.logged("beat", "tick_missed")
