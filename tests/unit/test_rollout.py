"""The rollout of new settings: which program is told, replaced or started, and when it has failed.

Pure functions, and the steps that act on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from warren.config import Settings, load
from warren.status.condition import Condition
from warren.status.heartbeat import Heartbeat
from warren.supervise.liveness.observe import Observation
from warren.supervise.reload.apply import Changes
from warren.supervise.reload.rollout import (
    Add,
    Moment,
    Rollout,
    Signal,
    Start,
    Step,
    advance,
    begin,
    left,
)
from warren.supervise.reload.suite_programs import Daemons, ObservedDaemon
from warren.system.process import current_process

Written = Callable[..., Path]
NOW = Moment(at=50.0, clock=100.0)
LATER = Moment(at=1e6, clock=1e6)
WORKERS = "[worker:a]\n[worker:b]\n"


def second(path: Path) -> Settings:
    """The settings there, as the second generation."""
    settings = load(path)
    accepted = replace(settings.accepted, generation=2)
    return settings.model_copy(update={"accepted": accepted})


@pytest.fixture
def settings(etc: Written) -> Settings:
    return second(etc(WORKERS))


def daemon(name: str, heartbeat: str = "ready", pid: int = 7, **other: Any) -> ObservedDaemon:
    """A daemon whose process runs; it has taken up the second generation, if nothing else is said.

    An empty heartbeat means none.
    """
    details = {"generation": 2, **other.pop("details", {})}
    beat = Heartbeat(name, current_process(), 0.0, 0.0, heartbeat, details) if heartbeat else None
    reported = Condition.of_heartbeat(heartbeat) if heartbeat else Condition.NO_HEARTBEAT
    fields: dict[str, Any] = {"process": Condition.RUNNING, "stop_timeout": 10.0}
    observation = Observation(pid, beat)
    return ObservedDaemon(
        name, name, pid, reported=reported, observation=observation, **(fields | other)
    )


def suite(*daemons: ObservedDaemon) -> Daemons:
    return {each.name: each for each in daemons}


def group(name: str) -> Any:
    return SimpleNamespace(name=name)


A, B, BEAT = daemon("worker-a"), daemon("worker-b", pid=8), daemon("beat", pid=9)
ENDED: dict[str, Any] = {"pid": 0, "heartbeat": ""}


def test_a_reload_tells_those_that_run_and_starts_those_that_failed(settings: Settings) -> None:
    """A program that an operator has stopped stays stopped."""
    daemons = suite(
        A,
        daemon("beat", process=Condition.ENDED, **ENDED),
        daemon("quota-watchdog", process=Condition.RESTARTING, **ENDED),
        daemon("worker-b", process=Condition.STOPPED, **ENDED),
    )
    changes = Changes(settings, [group("worker-c")], [], [])
    found, actions = begin(Rollout(), settings, changes, [], daemons, NOW)
    assert [each for each in actions if isinstance(each, Start)] == [
        Start("beat"),
        Start("quota-watchdog"),
    ]
    assert [each.group.name for each in actions if isinstance(each, Add)] == ["worker-c"]
    assert (found.to_signal, found.pending, found.leaving) == ({"worker-a": 7}, {}, {})
    assert not found.done


def test_workers_whose_settings_changed_stand_in_line(settings: Settings, etc: Written) -> None:
    """Beat is told at once, whatever is done to workers."""
    new = second(etc(WORKERS.replace("]\n", "]\nconcurrency = 3\n")))
    daemons = suite(A, B, BEAT)
    found, actions = begin(Rollout(), settings, Changes(new, [], [], []), [], daemons, NOW)
    assert (list(found.pending), found.to_signal, actions) == (
        ["worker-a", "worker-b"],
        {"beat": 9},
        [],
    )
    found, actions = advance(found, daemons, new, NOW)
    assert actions == [Signal("beat"), Signal("worker-a")]
    assert (found.step and found.step.program, list(found.pending)) == ("worker-a", ["worker-b"])


def test_a_changed_group_is_replaced_and_a_removed_one_ends(settings: Settings) -> None:
    """A worker with a new group waits for its turn; any other group stops at once."""
    new = {name: group(name) for name in ("worker-a", "beat")}
    changes = Changes(settings, [], list(new.values()), [group("worker-b")])
    found, _ = begin(Rollout(), settings, changes, new.values(), suite(A, B, BEAT), NOW)
    assert found.leaving == {"beat": new["beat"], "worker-b": None}
    assert found.pending == {"worker-a": new["worker-a"]}
    assert found.busy == {"beat", "worker-b", "worker-a"}
    found, actions = advance(found, suite(A, B, BEAT), settings, NOW)
    assert (actions, found.step) == ([], None)
    found = left(left(found, "beat"), "worker-b")
    found, actions = advance(found, suite(A, BEAT), settings, NOW)
    assert (found.leaving, actions) == ({"worker-a": new["worker-a"]}, [])


def test_a_program_that_leaves_and_returns_gets_its_last_configuration(settings: Settings) -> None:
    """The second reload comes before the first has stopped it, and before its turn."""
    earlier = Rollout(leaving={"beat": None}, pending={"worker-a": None, "worker-b": None})
    beat = group("beat")
    groups = [beat, group("worker-a")]
    changes = Changes(settings, [], [], [])
    found, _ = begin(earlier, settings, changes, groups, suite(A, B, BEAT), NOW)
    assert (found.leaving, list(found.pending)) == ({"beat": beat}, ["worker-a"])


def test_a_worker_that_leaves_the_settings_in_its_turn_is_no_failure(settings: Settings) -> None:
    """Its group is stopped; the next worker waits until it is gone."""
    step = Step("worker-a", 7, 0, True, 110.0, 50.0)
    rolling = Rollout(2, leaving={"worker-a": None}, pending={"worker-b": None}, step=step)
    found, actions = advance(rolling, suite(B), settings, NOW)
    assert (found.step, actions) == (step, [])
    found, actions = advance(left(found, "worker-a"), suite(B), settings, NOW)
    assert (found.failure, actions) == ("", [Signal("worker-b")])


STEP = Step("worker-a", 7, 0, True, 110.0, 50.0)
NEW: dict[str, Any] = {"pid": 11}
#: What is seen of the worker that is being changed: whether its step is over, and what has failed.
SEEN: dict[str, tuple[list[ObservedDaemon], Moment, bool, str]] = {
    "as before": ([A], NOW, False, ""),
    "answered": ([daemon("worker-a", details={"reloads": 1})], NOW, True, ""),
    "new, ready": ([daemon("worker-a", **NEW)], NOW, True, ""),
    "new, starting": ([daemon("worker-a", "starting", **NEW)], NOW, False, ""),
    "new, connecting": ([daemon("worker-a", "connecting", **NEW)], NOW, False, ""),
    "stopping": ([daemon("worker-a", "stopping")], NOW, False, ""),
    "between two processes": (
        [daemon("worker-a", process=Condition.ENDED, **ENDED)],
        NOW,
        False,
        "",
    ),
    "stopped by an operator": (
        [daemon("worker-a", process=Condition.STOPPED, stopped=True, **ENDED)],
        NOW,
        True,
        "",
    ),
    "removed": ([], NOW, True, ""),
    "never back": ([daemon("worker-a", "starting", **NEW)], LATER, True, "it is starting"),
    "without a heartbeat": (
        [daemon("worker-a", "", pid=11)],
        LATER,
        True,
        "it has no heartbeat",
    ),
    "given up": (
        [
            daemon(
                "worker-a",
                process=Condition.ENDED,
                gave_up=True,
                last_error="exit status 1",
                capture="a.out",
                **ENDED,
            )
        ],
        NOW,
        True,
        "exit status 1; see a.out",
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_the_next_worker_waits_for_the_one_before(settings: Settings, name: str) -> None:
    """After a failure the others keep their settings and are named."""
    daemons, moment, over, failure = SEEN[name]
    rolling = Rollout(2, pending={"worker-b": None}, step=STEP)
    found, actions = advance(rolling, suite(*daemons, B), settings, moment)
    assert failure in found.failure
    assert bool(found.failure) == bool(failure)
    if over and not failure:
        assert actions == [Signal("worker-b")]
        assert found.step is not None
        assert found.step.program == "worker-b"
    else:
        assert (actions, list(found.pending)) == ([], ["worker-b"])
        assert found.step == (None if over else STEP)
    if failure:
        assert found.done
        assert found.failure.endswith("; these continue with the old settings: worker-b")
        assert advance(found, suite(A, B), settings, moment) == (found, [])


def test_a_worker_without_a_broker_only_has_to_look_for_it_again(settings: Settings) -> None:
    """No reload brings the broker back."""
    connecting = suite(daemon("worker-a", "connecting", pid=11))
    rolling = Rollout(2, step=replace(STEP, was_at_work=False))
    found, _ = advance(rolling, connecting, settings, NOW)
    assert (found.step, found.failure, found.done) == (None, "", True)


def test_a_replaced_worker_that_does_not_end_has_failed(settings: Settings) -> None:
    """A reload stops it, so its stop is no operator's."""
    stopping = daemon("worker-a", process=Condition.STOPPING, stopped=True)
    rolling = Rollout(2, leaving={"worker-a": group("worker-a")}, step=STEP)
    assert advance(rolling, suite(stopping), settings, NOW) == (rolling, [])
    found, _ = advance(rolling, suite(stopping), settings, LATER)
    assert "worker-a does not work with the new settings" in found.failure


def test_a_rolling_restart_keeps_the_next_worker_waiting(settings: Settings) -> None:
    """Two workers are never down at once."""
    rolling = Rollout(2, pending={"worker-a": None})
    assert advance(rolling, suite(A), settings, NOW, wait=True) == (rolling, [])
    assert advance(rolling, suite(A), settings, NOW)[1] == [Signal("worker-a")]


@pytest.mark.parametrize(
    ("seen", "sent", "left"),
    [
        (A, [Signal("worker-a")], {}),
        (daemon("worker-a", ""), [], {"worker-a": 7}),
        (daemon("worker-a", process=Condition.STARTING), [], {"worker-a": 7}),
        (daemon("worker-a", pid=11), [], {}),
    ],
)
def test_a_signal_waits_for_its_handler(
    settings: Settings, seen: ObservedDaemon, sent: list[Signal], left: dict[str, int]
) -> None:
    """Before that, SIGHUP would end the daemon. A newer process needs none."""
    found, actions = advance(Rollout(2, to_signal={"worker-a": 7}), suite(seen), settings, NOW)
    assert (actions, found.to_signal) == (sent, left)


def test_a_daemon_that_does_not_take_up_the_settings_is_named(settings: Settings) -> None:
    """It has time until nothing else changes, and then for a start and a heartbeat."""
    old = daemon("quota-watchdog", details={"generation": 1, "unsettled": ["site"]})
    found, _ = advance(Rollout(2), suite(old), settings, NOW)
    assert (found.failure, found.done) == ("", False)
    assert found.by is not None
    found, _ = advance(found, suite(old), settings, replace(NOW, clock=found.by + 1))
    assert found.failure == (
        "the new settings have not been taken up by quota-watchdog (quotas with their old "
        "settings: site); see warren logs"
    )
    assert found.done
    found, _ = advance(Rollout(2), suite(daemon("quota-watchdog")), settings, NOW)
    assert found.done


def test_a_worker_that_starts_is_not_changed_in_between(settings: Settings) -> None:
    """It may start with older settings; a worker that failed starts with the new ones at once."""
    rolling = Rollout(2, pending={"worker-a": None})
    assert advance(rolling, suite(daemon("worker-a", "")), settings, NOW) == (rolling, [])
    waits = daemon("worker-a", process=Condition.RESTARTING, **ENDED)
    found, actions = advance(rolling, suite(waits), settings, NOW)
    assert (found, actions) == (Rollout(2), [Start("worker-a")])
    found, actions = advance(rolling, suite(), settings, NOW)
    assert (found, actions) == (Rollout(2), [])
