"""The steps of a reload and of a rolling restart, over programs that only note what they are told.

tests/process/test_reload.py has both on a real suite.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warren.config import Settings, load
from warren.status.condition import Condition
from warren.status.heartbeat import Heartbeat
from warren.status.suite_report import Restarted
from warren.supervise.liveness.observe import Observation
from warren.supervise.reload.reload_state import Checking, Idle, Rolling, State, settled
from warren.supervise.reload.reload_steps import ReloadSteps
from warren.supervise.reload.rolling_restart import RollingRestart
from warren.supervise.reload.rollout import Rollout
from warren.supervise.reload.suite_programs import Daemons, ObservedDaemon
from warren.system.process import current_process


class NotedPrograms:
    """Programs that note what they are told; a test says what is seen of them."""

    def __init__(self, *daemons: ObservedDaemon) -> None:
        self.daemons = daemons
        self.told: list[tuple[Any, ...]] = []
        self.stopped: set[str] = set()

    def observe(self) -> Daemons:
        return {each.name: each for each in self.daemons}

    def signal(self, name: str) -> None:
        self.told.append(("signal", name))

    def start(self, name: str) -> None:
        self.told.append(("start", name))

    def restart(self, name: str) -> None:
        self.told.append(("restart", name))

    def add(self, group: Any) -> None:
        self.told.append(("add", group))

    def replace(self, name: str, group: Any) -> bool:
        self.told.append(("replace", name, group))
        return name in self.stopped


def worker(
    name: str,
    pid: int,
    heartbeat: str = "ready",
    process: Condition = Condition.RUNNING,
    **other: Any,
) -> ObservedDaemon:
    beat = Heartbeat(name, current_process(), 0.0, 0.0, heartbeat, {}) if heartbeat else None
    reported = Condition.of_heartbeat(heartbeat)
    return ObservedDaemon(name, name, pid, process, reported, Observation(pid, beat), **other)


def given_up(name: str) -> ObservedDaemon:
    return worker(name, 0, "", Condition.ENDED, gave_up=True, last_error="exit status 78")


@pytest.fixture
def settings(etc: Callable[..., Path]) -> Settings:
    return load(etc("[worker:a]\n[worker:b]\n"))


CHECKED: Any = SimpleNamespace(poll=lambda: True)
A, B = worker("worker-a", 7), worker("worker-b", 8)


def test_the_second_worker_waits_for_the_first(settings: Settings) -> None:
    """A worker is back when another process of its name is at work."""
    programs = NotedPrograms(A, B)
    rolling = RollingRestart(programs)
    begun = rolling.begin(["worker-a", "worker-b"], CHECKED)
    for seen in (
        A,
        A,
        worker("worker-a", 0, "", Condition.ENDED),
        worker("worker-a", 9, "starting"),
    ):
        programs.daemons = (seen, B)
        assert rolling.step(settings, free=True) is None
        assert programs.told == [("restart", "worker-a")]
    back = worker("worker-a", 9)
    for second in (B, B, worker("worker-b", 10)):
        programs.daemons = (back, second)
        ended = rolling.step(settings, free=True)
    assert programs.told == [("restart", "worker-a"), ("restart", "worker-b")]
    assert ended == Restarted(begun, ["worker-a", "worker-b"])


def test_a_worker_that_had_given_up_is_started(settings: Settings) -> None:
    """Its end before the restart is no failure of the restart; its next end is one."""
    programs = NotedPrograms(given_up("worker-a"), B)
    rolling = RollingRestart(programs)
    rolling.begin(["worker-a", "worker-b"], CHECKED)
    assert rolling.step(settings, free=True) is None
    assert programs.told == [("restart", "worker-a")]
    ended = rolling.step(settings, free=True)
    assert ended is not None
    assert "worker-a did not come back in time: exit status 78" in ended.problems[0]
    assert ended.problems[0].endswith("; not touched: worker-b")
    assert programs.told == [("restart", "worker-a")]


def test_a_restart_waits_for_a_reload(settings: Settings) -> None:
    """Two workers are never down at once."""
    programs = NotedPrograms(A)
    rolling = RollingRestart(programs)
    rolling.begin(["worker-a"], CHECKED)
    assert rolling.step(settings, free=False) is None
    assert (rolling.stepping, programs.told) == (False, [])


def steps(programs: NotedPrograms, settings: Settings, state: State) -> ReloadSteps:
    nothing: Any = SimpleNamespace()
    return ReloadSteps(settings, programs, nothing, nothing, lambda: ([], [], []), state)


@pytest.mark.parametrize("checking", [False, True])
def test_a_group_is_replaced_until_it_has_stopped(settings: Settings, checking: bool) -> None:
    """A check beside it delays nothing."""
    programs = NotedPrograms()
    rolling = Rolling(0.0, 5.0, rollout=Rollout(leaving={"beat": None, "own": "new"}))
    reload = steps(programs, settings, Checking(9.0, rolling) if checking else rolling)
    programs.stopped = {"own"}
    reload.advance(wait=False)
    assert programs.told == [("replace", "beat", None), ("replace", "own", "new")]
    assert (reload.leaving, reload.busy, reload.over) == (["beat"], {"beat"}, False)
    programs.stopped = {"beat"}
    reload.advance(wait=False)
    assert programs.told[2:] == [("replace", "beat", None)]
    assert settled(reload.state).rollout.done
    assert reload.over != checking


def test_a_worker_is_told_once(settings: Settings) -> None:
    """While a rolling restart has one down, it waits."""
    programs = NotedPrograms(A)
    reload = steps(programs, settings, Rolling(0.0, rollout=Rollout(pending={"worker-a": None})))
    reload.advance(wait=True)
    assert programs.told == []
    reload.advance(wait=False)
    reload.advance(wait=False)
    assert programs.told == [("signal", "worker-a")]


def test_a_suite_that_stops_changes_nothing_any_more(settings: Settings) -> None:
    """The workers in line keep what they have."""
    programs = NotedPrograms(A)
    reload = steps(programs, settings, Rolling(0.0, rollout=Rollout(pending={"worker-a": None})))
    reload.stop()
    reload.advance(wait=False)
    assert (reload.state, programs.told) == (Idle(), [])
