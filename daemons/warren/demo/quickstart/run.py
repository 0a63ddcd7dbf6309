"""One run, from an empty directory to the figures."""

from __future__ import annotations

from warren.config import load
from warren.demo.demo_settings import DemoSettings
from warren.demo.quickstart import figures, keep, workload
from warren.demo.quickstart.display import Show, insist
from warren.demo.quickstart.figures import Figures
from warren.demo.quickstart.scratch import EVERY, LIMIT, Scratch
from warren.demo.quickstart.suite_run import Suite, stop_on_signals

_TIMEOUT = 60.0  # seconds for tasks that wait for no quota


def run(scratch: Scratch, documents: int, show: Show, kept: bool) -> Figures:
    """Start the suite in this directory, let it do all the work once, and stop it unless `kept`.

    Raises WarrenError when a process could not be started, or ended too early.
    """
    stop_on_signals()
    suite, stopping = None, True
    try:
        suite = Suite(scratch, load(scratch.config), kept)
        show.say(f"starting the API, two workers, beat and quota-watchdog in {scratch.home} ...")
        demo = suite.start(documents)
        found, report = _work(suite, demo, documents, show)
        stopping = not kept
    finally:
        if stopping:
            _end(suite, scratch)
    show.figures(found, report)
    if kept:
        insist(keep.keep(suite))
    else:
        show.say(_where(scratch))
    return found


def _end(suite: Suite | None, scratch: Scratch) -> None:
    if suite is None or not suite.begun:
        scratch.discard()
        return
    try:
        suite.stop()
    finally:
        scratch.forget()


def _work(suite: Suite, demo: DemoSettings, documents: int, show: Show) -> tuple[Figures, str]:
    shortest = figures.shortest(documents, LIMIT.calls, LIMIT.seconds)
    note = f"under {LIMIT} (at least {shortest:.0f} s in all)"
    with show:
        workload.submit(suite.app, documents)
        show.at("documents", 0, documents, note)
        show.at("ticks", 0, 1, f"one every {EVERY} s")
        # The batch is in a queue of its own, so it does not wait for the quota.
        batch = workload.batch(suite.app, _TIMEOUT)
        show.at("batch", len(batch), len(figures.BATCH), str(batch))
        for collected, ticks in workload.watch(demo, documents, workload.timeout()):
            suite.check()
            show.at("documents", collected, documents, note)
            show.at("ticks", min(ticks, 1), 1, f"one every {EVERY} s")
        path = ""
        for told in workload.report(suite.app, _TIMEOUT):
            if isinstance(told, str):
                path = told
                show.at("report", documents, documents)
            else:
                show.at("report", told.done, told.total or told.done, told.note)
    return _figures(demo, documents, batch), path


def _figures(demo: DemoSettings, documents: int, batch: list[int]) -> Figures:
    saw = workload.what_the_api_saw(demo)
    return Figures(
        documents=documents,
        calls=saw["calls"],
        refused=saw["refused"],
        worst_window=saw["worst_window"],
        limit=saw["limit"],
        window=saw["window"],
        duration=(saw["last"] or 0.0) - (saw["first"] or 0.0),
        batch=batch,
        ticks=workload.ticks(demo),
        lost=workload.lost(demo, documents),
    )


def _where(scratch: Scratch) -> str:
    return (
        f"Everything is stopped; the run's files are in {scratch.home}. To look further:\n"
        f"  less {scratch.log}/worker.log\n"
        f"  grep '\"tick_sent\"' {scratch.log}/beat.log\n"
        f"  cat {scratch.config}/warren.ini\n"
        "Logs are one JSON object a line; jq, which is optional, shows them well: jq . FILE"
    )
