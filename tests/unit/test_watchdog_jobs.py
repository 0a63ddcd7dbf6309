"""Jobs of the watchdog: what one of them does wrong stays its own affair."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.wait import let_pass, until
from warren.config import Settings
from warren.errors import CannotWrite
from warren.quotas.ledgers import Ledgers
from warren.watchdog.daemon import Watchdog
from warren.watchdog.jobs import Job, Jobs

#: Seconds between two runs; a test waits for runs, and never for this time.
INTERVAL = 0.01


class Counted:
    """A job that counts its runs, and does `first` at the begin of each."""

    def __init__(self, name: str, first: Callable[[], object] = int) -> None:
        self.runs = 0
        self._first = first
        self.job = Job(name, lambda: INTERVAL, self._run)

    def _run(self) -> None:
        self.runs += 1
        self._first()

    def goes_on(self) -> None:
        """Waits for five more runs."""
        before = self.runs
        until(lambda: self.runs >= before + 5, what=f"five runs of {self.job.name}")


@contextmanager
def running(*counted: Counted, recovered: Callable[[], None] = lambda: None) -> Iterator[Jobs]:
    """The jobs at work; they end with the block."""
    jobs = Jobs(tuple(each.job for each in counted), recovered)
    jobs.start()
    try:
        yield jobs
    finally:
        jobs.stop()


@pytest.mark.parametrize("place", [0, 1], ids=["first", "last"])
def test_a_job_that_hangs_delays_no_other(place: int) -> None:
    """The others keep their interval, and the one that hangs is told to be late."""
    let_go = threading.Event()
    hangs, well = Counted("hangs", let_go.wait), Counted("well")
    order = (hangs, well) if place == 0 else (well, hangs)
    with running(*order) as jobs:
        try:
            for _ in range(3):
                well.goes_on()
            until(lambda: jobs.late == ["hangs"], what="the job that hangs, and no other, late")
            assert hangs.runs == 1
        finally:
            let_go.set()
        until(lambda: not jobs.late, what="the job that hung")
        hangs.goes_on()


def test_a_job_that_fails_ends_no_other_and_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each reason is one line; the job is late until it has ended well, and then says so."""
    caplog.set_level(logging.ERROR)
    reasons, woken = ["no space", "no space", "no space", "no right"], threading.Event()
    gate = threading.Event()

    def fail() -> None:
        if reasons:
            raise RuntimeError(reasons.pop(0))
        if not gate.is_set():
            raise RuntimeError("no right")

    fails, well = Counted("fails", fail), Counted("well")
    with running(fails, well, recovered=woken.set) as jobs:
        until(lambda: not reasons, what="the failures")
        well.goes_on()
        fails.goes_on()
        until(lambda: jobs.late == ["fails"], what="the job that fails, and no other, late")
        woken.clear()
        gate.set()
        until(woken.is_set, what="the call that says it works again")
        until(lambda: not jobs.late, what="the job that failed")
    lines = [str(record.msg) for record in caplog.records if "job_failed" in str(record.msg)]
    assert [("no space" in line, "no right" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]


def test_no_job_runs_in_a_pause() -> None:
    """A pause waits for the run that is under way, and afterwards all jobs continue."""
    entered, let_go, busy = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        busy.set()
        let_go.wait()
        busy.clear()

    slow, well = Counted("slow", work), Counted("well")
    with running(slow, well) as jobs:
        until(entered.is_set, what="the first run")
        threading.Timer(INTERVAL, let_go.set).start()
        with jobs.paused():
            assert not busy.is_set()
            runs = slow.runs, well.runs
            let_pass(20 * INTERVAL)
            assert runs == (slow.runs, well.runs)
        slow.goes_on()
        well.goes_on()


def test_the_end_does_not_wait_for_a_job_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that is told to stop ends, and no job begins another run."""
    monkeypatch.setattr("warren.watchdog.jobs._LAST_RUNS", INTERVAL)
    let_go = threading.Event()
    hangs, well = Counted("hangs", let_go.wait), Counted("well")
    with running(hangs, well):
        until(lambda: hangs.runs == 1, what="the run that hangs")
        well.goes_on()
    let_go.set()
    assert hangs.runs == 1


@pytest.fixture
def make(loaded: Callable[[str], Settings], tmp_path: Path) -> Callable[[str], Watchdog]:
    """Make a watchdog that looks ten times a second, with these sections of quotas."""
    head = f"[app]\nstate_dir = {tmp_path}/state\nrun_dir = {tmp_path}/run\n"
    return lambda quotas: Watchdog(loaded(f"{head}[quota-watchdog]\ninterval = 100ms\n{quotas}"))


@pytest.mark.parametrize("how", ["hangs", "fails"])
def test_a_watchdog_without_its_look_at_quotas_is_not_said_to_be_well(
    make: Callable[[str], Watchdog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The loop turns, but writes no heartbeat, so that supervise starts the watchdog again; the
    status is written meanwhile.
    """
    let_go, published = threading.Event(), threading.Event()

    def look(_watchdog: Watchdog) -> None:
        if how == "fails" and not let_go.is_set():
            raise RuntimeError("damaged")
        let_go.wait()

    monkeypatch.setattr(Watchdog, "_look", look)
    monkeypatch.setattr(Watchdog, "_publish", lambda _watchdog: published.set())
    watchdog = make("")
    file = tmp_path / "run" / "heartbeats" / "quota-watchdog.json"
    watchdog.jobs.start()
    try:
        for _ in range(2):
            published.clear()
            until(published.is_set, what="the status")
            watchdog._tick()
        assert not file.exists()
        let_go.set()

        def beats() -> bool:
            watchdog._tick()
            return file.exists()

        until(beats, what="the heartbeat")
    finally:
        let_go.set()
        watchdog.jobs.stop()


def test_a_late_job_does_not_hide_behind_a_ledger_that_cannot_change(
    make: Callable[[str], Watchdog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at such a ledger writes a heartbeat of its own, but not for a job that hangs."""

    def refuse(_ledgers: Ledgers, name: str) -> None:
        raise CannotWrite(f"no space for {name}")

    let_go, looked = threading.Event(), threading.Event()
    monkeypatch.setattr(Ledgers, "configure_one", refuse)
    monkeypatch.setattr(Watchdog, "_restore_messages", lambda _watchdog: let_go.wait())
    monkeypatch.setattr(Watchdog, "_publish", lambda _watchdog: None)
    monkeypatch.setattr(Watchdog, "_cannot", lambda *_: looked.set())
    watchdog = make("[quota:full]\nlimit = 4/h\n")
    file = tmp_path / "run" / "heartbeats" / "quota-watchdog.json"
    watchdog.jobs.start()
    try:
        for _ in range(3):
            looked.clear()
            until(looked.is_set, what="the look at the ledger")
        assert not file.exists()
        let_go.set()
        until(file.exists, what="the heartbeat of the look")
    finally:
        let_go.set()
        watchdog.jobs.stop()
