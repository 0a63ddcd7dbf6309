"""Whatever happens to supervisord or to the host, the suite recovers by itself.

Nothing is left over or lost.
"""

from __future__ import annotations

import time

import pytest

from support.figures import Figure
from support.installed import Installed
from support.wait import until

AGAIN = 30.0
PROGRAMS = ("worker-main", "beat", "quota-watchdog")


@pytest.mark.parametrize(("word", "first"), [("KILL", 1000), ("STOP", 2000)])
def test_supervisord_ends_or_hangs(suite: Installed, word: str, first: int, figure: Figure) -> None:
    """systemd starts the suite again; no process of the old one is left, and every task is done."""
    suite.send(first, first + 39, 0.5)
    until(lambda: suite.runs().begun[first], what="the first task to begin")
    old, before = suite.supervisord(), set(suite.processes().items())
    suite.host.run("kill", f"-{word}", str(old))
    began = time.monotonic()
    until(lambda: suite.supervisord() not in (0, old), what="another supervisord")
    until(lambda: suite.host.show("warren", "ActiveState") == "active", what="an active unit")
    took = time.monotonic() - began
    figure(f"kill -{word} of supervisord: suite ready", took, f"<= {AGAIN:g} s")
    assert not before & set(suite.processes().items())
    until(lambda: all(suite.pid(program) for program in PROGRAMS), what="a suite that is ready")
    suite.all_done(first, first + 39)


def test_a_power_cut(suite: Installed, figure: Figure) -> None:
    """The host loses its power with running tasks.

    After boot the suite is ready by itself, and every task is done.
    """
    suite.send(3000, 3039, 0.5)
    until(lambda: suite.runs().begun[3000], what="the first task to begin")
    suite.host.power_cut()
    began = time.monotonic()
    suite.host.boot()
    until(
        lambda: all(suite.pid(program) for program in PROGRAMS),
        what="a suite that is ready by itself",
    )
    figure("power cut: suite ready after the power is back", time.monotonic() - began, "by itself")
    assert suite.host.show("warren", "ActiveState") == "active"
    suite.all_done(3000, 3039)
