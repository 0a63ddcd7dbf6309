"""Daemons that end, or that somebody else ends: only what supervisord itself asked for is final."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from support.suite import Suite
from support.supervised import supervised
from support.wait import until
from warren.status import programs_file as published
from warren.status.status_file import now
from warren.status.suite_report import all_ready

INI = "[worker:a]\nconcurrency = 1\n"
PROGRAMS = ("worker-a", "beat", "quota-watchdog")
#: What people and programs send to a daemon. Those that end it are no more than four: the fifth end
#: within seconds has it held.
SIGNALS = ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "PIPE")
#: Those at which a daemon continues with its work.
HARMLESS = {"HUP", "USR1", "PIPE"}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite with all its daemons."""
    made = Suite(tmp_path_factory.mktemp("ends"), INI, modules="jobs")
    made.module("jobs", "")
    with supervised(made):
        yield made


def ready(suite: Suite) -> dict[str, int]:
    """The processes of the programs, when all of them are ready; else nothing."""
    report = published.read(suite.directory / "run").known
    if report is None or not all_ready(report.programs):
        return {}
    return {each.program: each.pid for each in report.programs if each.pid}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("word", SIGNALS)
def test_a_signal_by_hand_is_no_end(suite: Suite, word: str) -> None:
    """Whichever signal worker, beat and quota-watchdog get, all three run again.

    None is final or backing off.
    """
    before = until(lambda: ready(suite), what="a suite that is ready")
    said = len(suite.logged("supervisord", "supervisor_record"))
    for pid in before.values():
        with suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, f"SIG{word}"))
    if word not in HARMLESS:
        until(
            lambda: (
                all(pid not in before.values() for pid in ready(suite).values()) and ready(suite)
            ),
            what="new processes",
        )
    else:
        sent = now()
        until(
            lambda: all(
                (suite.heartbeat(program) or {"at": 0})["at"] > sent + 1 for program in PROGRAMS
            ),
            what="heartbeats that continue",
        )
        assert ready(suite) == before
    until(lambda: ready(suite), what="a suite that is ready again")
    lines = suite.logged("supervisord", "supervisor_record")[said:]
    assert not [line for line in lines if "FATAL" in line["message"]]
