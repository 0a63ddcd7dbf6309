"""A daemon that is killed or hangs is replaced, its end is in the log, and no task is lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from support.figures import Figure
from support.installed import Installed
from support.wait import until

PROGRAMS = ("worker-main", "beat", "quota-watchdog")
#: What `kill -9` is to cost, and a hang, in seconds.
KILLED, HUNG = 5.0, 30.0
_numbers = count(0)


@pytest.fixture
def tasks(suite: Installed) -> Iterator[None]:
    """Forty tasks are at work while the test breaks something; in the end each of them is done."""
    first = next(_numbers) * 1000
    suite.send(first, first + 39, 0.4)
    until(lambda: suite.runs().begun[first], what="the first task to begin")
    yield
    suite.all_done(first, first + 39)


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_daemon_runs_again(suite: Installed, program: str, figure: Figure) -> None:
    """kill -9: supervisord starts it again and logs with what signal it ended."""
    victim = until(lambda: suite.pid(program), what=f"a ready {program}")
    suite.host.run("kill", "-KILL", str(victim))
    took = suite.another(program, victim)
    figure(f"kill -9 of {program}", took, f"<= {KILLED:g} s")
    records = suite.logged("supervisord", "supervisor_record", program=program, signal="SIGKILL")
    assert records, suite.log("supervisord")[-5:]


@pytest.mark.usefixtures("tasks")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_hung_daemon_is_replaced(suite: Installed, program: str, figure: Figure) -> None:
    """After kill -STOP a daemon's heartbeat goes stale, which is logged with the details.

    Another daemon is ready then.
    """
    victim = until(lambda: suite.pid(program), what=f"a ready {program}")
    before = len(suite.logged("supervisord", "program_hung", program=program))
    suite.host.run("kill", "-STOP", str(victim))
    took = suite.another(program, victim)
    figure(f"kill -STOP of {program}", took, f"<= {HUNG:g} s")
    assert len(suite.logged("supervisord", "program_hung", program=program)) == before + 1
