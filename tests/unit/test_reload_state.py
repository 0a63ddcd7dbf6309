"""The states of a reload: what follows each observation in each state."""

from __future__ import annotations

import pytest

from support.program_statuses import program_status
from warren.errors import ExitCode
from warren.status.condition import Condition
from warren.status.suite_report import Outcome
from warren.supervise.reload.reload_state import (
    Check,
    Checking,
    Done,
    Ended,
    Idle,
    Late,
    Next,
    Ready,
    Reloading,
    Rolling,
    State,
    accepted,
    asked,
    judged,
    name_of,
    refused,
    settled,
    stopped,
    with_rollout,
)
from warren.supervise.reload.rollout import Moment, Rollout

READY = [program_status("worker-a")]
STARTING = [program_status("worker-a", condition=Condition.STARTING)]
LATE = "worker-a is not ready: it is starting"
CHANGING = Rollout(wanted=2, pending={"worker-a": None})
FAILED = Rollout(wanted=2, pending={"worker-b": None}, failure="worker-a does not work")
DONE = Rollout(wanted=2)
NOW = Moment(at=50.0, clock=100.0)
SOON, PAST = 101.0, 99.0

#: Every state without a check.
SETTLED: dict[str, Idle | Rolling | Done] = {
    "idle": Idle(),
    "idle after a refusal": Idle("x"),
    "starting": Rolling(SOON, starting=True),
    "starting, out of time": Rolling(PAST, starting=True),
    "starting, with a reload": Rolling(SOON, 5.0, True, rollout=CHANGING),
    "rolling": Rolling(SOON, 5.0, rollout=CHANGING),
    "rolled": Rolling(SOON, 5.0, rollout=DONE),
    "rolled, out of time": Rolling(PAST, 5.0, rollout=DONE),
    "failing": Rolling(SOON, 5.0, rollout=FAILED),
    "late": Done(Outcome(5.0, "late", [LATE], 1), rollout=DONE),
    "failed": Done(Outcome(5.0, "failed", ["x"], 1), rollout=FAILED),
}
CHECKS: dict[str, State] = {
    **{f"checking while {name}": Checking(9.0, state) for name, state in SETTLED.items()},
    **{f"again while {name}": Checking(9.0, state, True) for name, state in SETTLED.items()},
}
STATES: dict[str, State] = {**SETTLED, **CHECKS}


@pytest.mark.parametrize("name", STATES)
def test_a_request_begins_one_check(name: str) -> None:
    """A request during a check is remembered, however many come; what goes on continues."""
    state = STATES[name]
    told = [] if "starting" in name else [Reloading()]
    found, actions = asked(state, NOW)
    assert isinstance(found, Checking)
    assert found.before == settled(state)
    if isinstance(state, Checking):
        assert (found.begun, found.again, actions) == (9.0, True, told)
    else:
        assert (found.begun, found.again, actions) == (50.0, False, [*told, Check()])


@pytest.mark.parametrize("name", CHECKS)
def test_accepted_settings_roll_out(name: str) -> None:
    """The programs have the whole time again; a request in between is checked at once."""
    state = CHECKS[name]
    assert isinstance(state, Checking)
    found, actions = accepted(state, CHANGING, 30.0, NOW)
    rolling = Rolling(130.0, 9.0, "starting" in name, rollout=CHANGING)
    expected: Next = (Checking(50.0, rolling), [Check()]) if state.again else (rolling, [])
    assert (found, actions) == expected


@pytest.mark.parametrize("name", CHECKS)
def test_a_refusal_changes_nothing(name: str) -> None:
    """What went on before continues, with its rollout; STATUS names the problem.

    systemd hears of the end unless a reload, a start or a check is still going on.
    """
    state = CHECKS[name]
    assert isinstance(state, Checking)
    found, actions = refused(state, ["a", "b"], "a", int(ExitCode.CONFIG), NOW)
    assert settled(found).refusal == "a"
    assert settled(found).rollout == state.before.rollout
    assert type(settled(found)) is type(state.before)
    announce = not state.again and isinstance(state.before, Idle | Done)
    ended = Ended(Outcome(9.0, "refused", ["a", "b"], int(ExitCode.CONFIG)), announce)
    assert actions == [ended, Check()] if state.again else [ended]
    assert isinstance(found, Checking) == state.again


def applied(begun: float = 5.0) -> Outcome:
    return Outcome(begun, "applied")


LATE_OUTCOME = Outcome(5.0, "late", [LATE], int(ExitCode.FAILURE))
FAILED_OUTCOME = Outcome(5.0, "failed", [FAILED.failure], int(ExitCode.FAILURE))
#: For each state: what follows when every program is ready, and when one is not.
JUDGED: dict[str, tuple[Next, Next]] = {
    "idle": ((Idle(), []), (Idle(), [])),
    "idle after a refusal": ((Idle("x"), []), (Idle("x"), [])),
    "starting": (
        (Idle(), [Ready(READY, True), Ended(None, True)]),
        (SETTLED["starting"], []),
    ),
    "starting, out of time": (
        (Idle(), [Ready(READY, True), Ended(None, True)]),
        (
            Done(Outcome(0.0, "late", [LATE], int(ExitCode.FAILURE))),
            [Late(STARTING, ""), Ended(None, True)],
        ),
    ),
    "starting, with a reload": (
        (Rolling(130.0, 5.0, True, rollout=CHANGING), []),
        (Rolling(130.0, 5.0, True, rollout=CHANGING), []),
    ),
    "rolling": (
        (Rolling(130.0, 5.0, rollout=CHANGING), []),
        (Rolling(130.0, 5.0, rollout=CHANGING), []),
    ),
    "rolled": (
        (Idle(rollout=DONE), [Ready(READY, False), Ended(applied(), True)]),
        (SETTLED["rolled"], []),
    ),
    "rolled, out of time": (
        (Idle(rollout=DONE), [Ready(READY, False), Ended(applied(), True)]),
        (Done(LATE_OUTCOME, rollout=DONE), [Late(STARTING, ""), Ended(LATE_OUTCOME, True)]),
    ),
    "failing": (
        (
            Done(FAILED_OUTCOME, rollout=FAILED),
            [Late([], FAILED.failure), Ended(FAILED_OUTCOME, True)],
        ),
        (
            Done(FAILED_OUTCOME, rollout=FAILED),
            [Late(STARTING, FAILED.failure), Ended(FAILED_OUTCOME, True)],
        ),
    ),
    "late": ((Idle(rollout=DONE), [Ready(READY, False)]), (SETTLED["late"], [])),
    "failed": ((SETTLED["failed"], []), (SETTLED["failed"], [])),
}


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.parametrize("ready", [True, False])
def test_a_reload_ends_when_its_programs_are_ready_late_or_failed(name: str, ready: bool) -> None:
    """Each end is told once; while programs change, none is late."""
    expected = JUDGED[name][0 if ready else 1]
    assert judged(SETTLED[name], READY if ready else STARTING, 30.0, NOW) == expected


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.parametrize("ready", [True, False])
def test_an_end_during_a_check_is_no_end_for_systemd(name: str, ready: bool) -> None:
    """The outcome is published all the same, and the check continues.

    The end of the start is told to systemd, which knows of no reload then.
    """
    before, actions = JUDGED[name][0 if ready else 1]
    found, told = judged(Checking(9.0, SETTLED[name]), READY if ready else STARTING, 30.0, NOW)
    assert found == Checking(9.0, settled(before))
    assert told == [
        Ended(each.outcome, each.outcome is None) if isinstance(each, Ended) else each
        for each in actions
    ]


@pytest.mark.parametrize("name", STATES)
def test_a_stop_ends_a_reload_without_an_outcome(name: str) -> None:
    """Neither the check nor the rollout goes on, and nothing is late any more."""
    state = stopped(STATES[name])
    assert (name_of(state), settled(state).rollout) == ("running", Rollout())
    for programs in (READY, STARTING):
        assert judged(state, programs, 30.0, Moment(900.0, 900.0)) == (state, [])


@pytest.mark.parametrize("name", STATES)
def test_a_rollout_advances_in_each_state(name: str) -> None:
    """Also beside a check, and after a failure: what stops must end, and come back."""
    state = with_rollout(STATES[name], CHANGING)
    assert settled(state).rollout == CHANGING
    assert with_rollout(state, settled(STATES[name]).rollout) == STATES[name]


def test_the_name_in_status() -> None:
    """A start is one until it ends, also with a reload in it."""
    words = {name: name_of(state) for name, state in SETTLED.items()}
    rolling = {"rolling", "rolled", "rolled, out of time", "failing"}
    for name, word in words.items():
        expected = "starting" if "starting" in name else "reloading" if name in rolling else ""
        assert word == (expected or "running"), name
        beside = name_of(Checking(9.0, SETTLED[name]))
        assert beside == ("starting" if "starting" in name else "reloading"), name


def test_a_second_reload_takes_over_the_first() -> None:
    """A request during a rollout is checked beside it, and its outcome answers both requests."""
    state: State = SETTLED["rolling"]
    state, _ = asked(state, NOW)
    assert isinstance(state, Checking)
    state, _ = accepted(state, DONE, 30.0, NOW)
    state, actions = judged(state, READY, 30.0, NOW)
    assert actions == [Ready(READY, False), Ended(applied(50.0), True)]
    assert state == Idle(rollout=DONE)
