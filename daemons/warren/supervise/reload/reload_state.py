"""The state of the suite's reload: idle, checking, rolling, or done with an outcome.

Pure: each function returns the next state and what to do; reload_steps.py acts. The start of the
suite is the first rolling: it has no check, and no program to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from warren.errors import ExitCode
from warren.status.suite_report import Outcome, ProgramStatus, all_ready
from warren.supervise.reload.rollout import Moment, Rollout


@dataclass(frozen=True)
class Idle:
    """The settings are in force, and every program has been ready since.

    refusal: the problem of the last reload; empty unless that reload was refused.
    """

    refusal: str = ""
    rollout: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True)
class Rolling:
    """The programs change to new settings, or start.

    begun: when the check of the settings began (seconds of CLOCK_BOOTTIME); 0 for the start of the
    suite. by: when a program that is not ready becomes late (seconds of CLOCK_MONOTONIC). This time
    moves while programs change, because each worker has its own time limit. starting: whether the
    suite has not been ready or late since its start.
    """

    by: float
    begun: float = 0.0
    starting: bool = False
    refusal: str = ""
    rollout: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True)
class Done:
    """The start or the last accepted reload has ended late, or has failed.

    The rollout of a failed reload has the workers that keep their old settings; the next reload
    changes them.
    """

    outcome: Outcome
    refusal: str = ""
    rollout: Rollout = field(default_factory=Rollout)


@dataclass(frozen=True)
class Checking:
    """New settings are being checked. Meanwhile, the state `before` continues.

    begun: as in Rolling. again: whether a request has come since, which leads to a second check.
    """

    begun: float
    before: Idle | Rolling | Done
    again: bool = False


Settled = Idle | Rolling | Done
State = Settled | Checking


@dataclass(frozen=True)
class Check:
    """An action: read the settings, and start their check."""


@dataclass(frozen=True)
class Reloading:
    """An action: tell systemd that a reload has begun."""


@dataclass(frozen=True)
class Ended:
    """An action: publish the outcome; None at the end of the start.

    announce: whether systemd is told.
    """

    outcome: Outcome | None
    announce: bool


@dataclass(frozen=True)
class Ready:
    """An action: log that the programs are ready.

    first: whether this is the first time since the start of the suite.
    """

    programs: Sequence[ProgramStatus]
    first: bool


@dataclass(frozen=True)
class Late:
    """An action: log the programs that are not ready in time.

    reason: why the reload has failed; empty if it has not failed.
    """

    programs: Sequence[ProgramStatus]
    reason: str


Action = Check | Reloading | Ended | Ready | Late
Next = tuple[State, list[Action]]


def settled(state: State) -> Settled:
    """Return the state beside a check: what continues while new settings are checked."""
    return state.before if isinstance(state, Checking) else state


def with_rollout(state: State, rollout: Rollout) -> State:
    """Return this state with an advanced rollout."""
    if isinstance(state, Checking):
        return replace(state, before=replace(state.before, rollout=rollout))
    return replace(state, rollout=rollout)


def name_of(state: State) -> str:
    """Return what STATUS calls the state: starting, reloading or running."""
    now = settled(state)
    if isinstance(now, Rolling) and now.starting:
        return "starting"
    return "reloading" if isinstance(state, Checking | Rolling) else "running"


def asked(state: State, moment: Moment) -> Next:
    """Return what follows a request for a reload."""
    told: list[Action] = [] if name_of(state) == "starting" else [Reloading()]
    if isinstance(state, Checking):
        return replace(state, again=True), told
    return Checking(moment.at, state), [*told, Check()]


def accepted(state: Checking, rollout: Rollout, start_timeout: float, moment: Moment) -> Next:
    """Return what follows a check without a problem, whose settings were written."""
    by, starting = moment.clock + start_timeout, name_of(state) == "starting"
    return _after_check(state, Rolling(by, state.begun, starting, rollout=rollout), moment)


def refused(state: Checking, problems: list[str], first: str, code: int, moment: Moment) -> Next:
    """Return what follows a check that found problems: the suite continues as before.

    `first` is the first of the problems, for STATUS.
    """
    found, actions = _after_check(state, replace(state.before, refusal=first), moment)
    outcome = Outcome(state.begun, "refused", problems, code)
    # While another reload continues, systemd waits for the end of that reload.
    return found, [Ended(outcome, isinstance(found, Idle | Done)), *actions]


def _after_check(state: Checking, after: Settled, moment: Moment) -> Next:
    return (Checking(moment.at, after), [Check()]) if state.again else (after, [])


def stopped(state: State) -> State:
    """Return what follows when the suite stops: its reload will have no outcome."""
    return Idle(settled(state).refusal)


def judged(
    state: State, programs: Sequence[ProgramStatus], start_timeout: float, moment: Moment
) -> Next:
    """Return what follows a judgement of all programs."""
    expected = [status for status in programs if status.expected]
    if isinstance(state, Checking):
        before, actions = _judged(state.before, expected, start_timeout, moment)
        return replace(state, before=before), [_unannounced(action) for action in actions]
    return _judged(state, expected, start_timeout, moment)


def _unannounced(action: Action) -> Action:
    """Return the action without an end for systemd, which waits for the end of the check."""
    if isinstance(action, Ended) and action.outcome is not None:
        return replace(action, announce=False)
    return action


def _judged(
    state: Settled, expected: Sequence[ProgramStatus], start_timeout: float, moment: Moment
) -> tuple[Settled, list[Action]]:
    rollout = state.rollout
    if isinstance(state, Idle):
        return state, []
    if rollout.done and not rollout.failure and all_ready(expected):
        first = isinstance(state, Rolling) and state.starting
        ended = _ended(state, Outcome(state.begun, "applied")) if isinstance(state, Rolling) else []
        return Idle(state.refusal, rollout), [Ready(expected, first), *ended]
    if isinstance(state, Done):
        return state, []
    if not rollout.done:
        state = replace(state, by=moment.clock + start_timeout)
    if not rollout.failure and moment.clock <= state.by:
        return state, []
    late = [status for status in expected if not status.ready]
    # systemd gets READY all the same: systemd would retry a failed start for ever, and no restart
    # brings back a broker or mends a program. STATUS says which programs are not ready, and the
    # others do their work.
    problems = [f"{each.program} is not ready: it {each.condition.predicate}" for each in late]
    word, problems = ("failed", [rollout.failure]) if rollout.failure else ("late", problems)
    outcome = Outcome(state.begun, word, problems, int(ExitCode.FAILURE))
    done = Done(outcome, state.refusal, rollout)
    return done, [Late(late, rollout.failure), *_ended(state, outcome)]


def _ended(state: Rolling, outcome: Outcome) -> list[Action]:
    return [Ended(outcome if state.begun else None, announce=True)]
