"""A suite that starts where earlier tasks have put other things in place of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plants import PLANTS
from support.suite import Suite, descendants
from support.wait import until
from warren.system.lock_holder import lock_holder

INI = """
[worker:a]
queues = default, q
concurrency = 1
[queue:default]
[queue:q]
tasks = jobs.call
[quota:q]
limit = 2/h
tasks = jobs.call
"""
JOBS = """
from celery import shared_task

@shared_task(name="jobs.call")
def call():
    return "called"

@shared_task(name="jobs.plain")
def plain():
    return "done"
"""
RUN = [
    f"{program}.{kind}"
    for program in ("supervisord", "worker-a", "beat")
    for kind in ("lock", "pid", "pid.new")
]
RUN += [
    "supervisor.sock",
    "supervisord.conf",
    "programs.json",
    "programs.json.new",
    "broker.json",
    "broker.json.new",
]
RUN += ["settings.json", "settings.json.new"]
RUN += [
    "heartbeats/worker-a.json",
    "heartbeats/beat.json.new",
    "supervisor/beat.conf",
    "supervisor/beat.conf.new",
]
STATE = [
    "run_dir",
    "run_dir.new",
    "beat/ticks.json",
    "beat/ticks.json.new",
    "beat/ticks.lock",
    "broker/lock",
]
STATE += ["quota/q.ledger", "quota/.q.ledger.making", "quota/.q.ledger.new"]
STATE += [
    f"worker/worker-a.{kind}"
    for kind in (
        "tasks",
        "crashes",
        "crashes.new",
        "requeued",
        "current-message",
        "current-message-counts",
    )
]
DIRECTORIES = {
    "state": ["worker", "beat", "results", "broker/queues"],
    "broker": [
        f"broker/{name}"
        for name in ("queues/default", "unacked", "exchanges", "incoming", "temporary", "rejected")
    ],
}
LOG = [f"{daemon}.log" for daemon in ("supervisord", "worker", "beat")]
LOG += [f"{program}.out" for program in ("supervisord", "worker-a", "beat")]


@pytest.fixture
def suite(scratch: Path) -> Iterator[Suite]:
    """Yield a suite that has not run yet.

    Whatever was started in the background has ended when the test is over.
    """
    made = Suite(scratch, INI, modules="jobs")
    made.module("jobs", JOBS)
    yield made
    lock = scratch / "run" / "supervisord.lock"
    family = descendants(lock_holder(lock)) if lock.is_file() else []
    stopped = made.warren("supervise", "--stop")
    assert (stopped.returncode, stopped.stdout) == (0, "supervisord has stopped\n"), stopped.stderr
    until(
        lambda: not any(member.alive for member in family), what="the end of all that was started"
    )


@pytest.mark.parametrize("word", ["directory", "fifo"])
def test_a_suite_starts_over_whatever_is_in_the_place_of_its_files(suite: Suite, word: str) -> None:
    """Nothing hangs and no operator has to tidy up: the suite is ready and runs tasks.

    The log names what it has moved away.

    A ledger that is gone counts as used.
    """
    places = [
        suite.directory / top / name
        for top, names in (("run", RUN), ("state", STATE), ("log", LOG))
        for name in names
    ]
    _starts_over(suite, places, word)
    told = [
        line
        for name in ("supervisord", "worker", "beat", "quota-watchdog")
        for line in suite.log(name)
    ]
    assert {line["event"] for line in told} & {"run_directory_restored", "file_moved_away"}
    assert [
        line
        for daemon in ("worker", "quota-watchdog")
        for line in suite.logged(daemon, "ledger_damaged", quota="q")
    ]
    (counts,) = (suite.status() or {})["quotas"]
    assert (counts["free"], counts["cooling"]) == (0, 2)
    assert suite.warren("reload").returncode == 0


@pytest.mark.parametrize("of", DIRECTORIES)
def test_a_suite_starts_over_what_is_in_the_place_of_its_directories(suite: Suite, of: str) -> None:
    """Fifos where directories of the state belong hold nothing.

    Each is a directory afterwards.
    """
    places = [suite.directory / "state" / name for name in DIRECTORIES[of]]
    _starts_over(suite, places, "fifo")
    assert [place for place in places if not place.is_dir()] == []


def _starts_over(suite: Suite, places: list[Path], word: str) -> None:
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        PLANTS[word](place)
    started = suite.warren("supervise", "--detach")
    assert (started.returncode, "is ready" in started.stdout) == (0, True), started.stderr
    done = suite.warren("call", "jobs.plain", "--wait", "60")
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["SUCCESS", "done"]), done.stderr
