"""What beat and quota-watchdog do alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.suite import Suite, children
from support.supervised import one_line_supervisor
from support.wait import until
from warren.process import of


@pytest.mark.parametrize("daemon", ["beat", "quota-watchdog"])
def test_a_daemon_whose_supervisor_vanished_ends(scratch: Path, daemon: str) -> None:
    """`kill -9` of its supervisor: it says so and ends in order, for whoever starts next."""
    suite = Suite(scratch, "")
    with one_line_supervisor(suite, daemon) as supervisor:
        suite.await_event(daemon, "ready")
        (orphan,) = filter(None, map(of, children(supervisor.pid)))
        supervisor.kill()
        supervisor.wait()
        until(lambda: not orphan.alive, what="the orphan to end")
    assert [line["event"] for line in suite.log(daemon)][-2:] == ["supervisor_lost", "stopped"]
    assert suite.heart(daemon) is None
