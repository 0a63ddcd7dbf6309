"""The part of a reload that changes the programs of a running supervisord.

Pure: reload_steps.py acts. A program that did not change continues to run. Workers change one at a
time: if all workers drained at once, no worker would serve the queues for as long as the longest
task.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from warren.config import Settings
from warren.config.affected_daemons import affects_worker
from warren.status.condition import Condition
from warren.status.status_file import now
from warren.supervise.reload.apply import Changes
from warren.supervise.reload.suite_programs import Daemons, ObservedDaemon, worker_of


@dataclass(frozen=True)
class Moment:
    """One moment, on two clocks.

    at: seconds of CLOCK_BOOTTIME. clock: seconds of CLOCK_MONOTONIC.
    """

    at: float = field(default_factory=now)
    clock: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Signal:
    """An action: send SIGHUP to a daemon."""

    program: str


@dataclass(frozen=True)
class Start:
    """An action: start a daemon that has no process, without a pause."""

    program: str


@dataclass(frozen=True)
class Add:
    """An action: add a group with this configuration of supervisor."""

    group: Any


Action = Signal | Start | Add


@dataclass(frozen=True)
class Step:
    """One worker that is being changed.

    by: when a worker that was at work before must be at work again (seconds of CLOCK_MONOTONIC).
    """

    program: str
    pid: int
    reloads: int
    was_at_work: bool
    by: float
    since: float


@dataclass(frozen=True)
class Rollout:
    """What is left to do until all programs match the new settings.

    wanted: the generation of the settings that every daemon must take up. since: when the change
    began (seconds of CLOCK_BOOTTIME). leaving: the new configuration of each group that stops; None
    for a group that is removed. to_signal: the process number that each daemon had when the
    settings changed. pending: the workers in their order, each with its new configuration; None for
    a running worker that only needs a signal. lagging: the daemons that have not reported this
    generation yet, each with the cause of its delay. by: when a lagging daemon becomes a failure,
    if nothing else changes any more (seconds of CLOCK_MONOTONIC).
    """

    wanted: int = 0
    since: float = 0.0
    leaving: Mapping[str, Any] = field(default_factory=dict)
    to_signal: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, Any] = field(default_factory=dict)
    step: Step | None = None
    lagging: Mapping[str, str] = field(default_factory=dict)
    by: float | None = None
    failure: str = ""

    @property
    def done(self) -> bool:
        """Return whether no change is left, and every daemon has reported the new settings.

        A failure ends the change as well.
        """
        on_its_way = self.leaving or self.to_signal or self.step
        return not on_its_way and (not (self.pending or self.lagging) or bool(self.failure))

    @property
    def busy(self) -> set[str]:
        """Return the groups that do not match the settings yet. Only the reload may touch them."""
        return self.leaving.keys() | self.pending.keys()


def begin(
    earlier: Rollout,
    old: Settings,
    changes: Changes,
    groups: Iterable[Any],
    daemons: Daemons,
    moment: Moment,
) -> tuple[Rollout, list[Action]]:
    """Return the rollout of accepted settings.

    groups: all groups that supervisord now configures. Workers that an earlier reload has not
    reached yet stay in line, behind the worker that the earlier reload is changing.
    """
    wanted = {group.name: group for group in groups}
    # A group that an earlier reload is still stopping comes back with today's configuration.
    names = [*earlier.leaving, *(group.name for group in changes.removed + changes.changed)]
    stop = {name: wanted.get(name) for name in names}
    pending = {name: None for name in earlier.pending if name in wanted and name not in stop}
    replaced = {name: new for name, new in stop.items() if new is not None}
    pending |= {name: new for name, new in replaced.items() if worker_of(daemons, name)}
    leaving = {name: new for name, new in stop.items() if name not in pending}
    rest = [each for each in daemons.values() if each.group not in leaving.keys() | pending.keys()]
    affected = [each.name for each in rest if each.pid and _affects(old, changes.settings, each)]
    running = {each.name: each.pid for each in rest if each.pid and each.name not in affected}
    rollout = replace(
        earlier,
        wanted=changes.settings.generation,
        since=moment.at,
        leaving=leaving,
        to_signal={**earlier.to_signal, **running},
        pending={**pending, **dict.fromkeys(affected)},
        # Every running daemon counts as lagging until the first look.
        lagging={each.name: "" for each in daemons.values() if each.pid},
        by=None,
        failure="",
    )
    # The new settings may be what a daemon needs that has ended by itself.
    starts = [Start(each.name) for each in rest if not each.pid and each.process.failed]
    return rollout, [*starts, *map(Add, changes.added)]


def left(rollout: Rollout, group: str) -> Rollout:
    """Return the rollout after a group has stopped and its replacement, if any, was added."""
    rest = {name: new for name, new in rollout.leaving.items() if name != group}
    return replace(rollout, leaving=rest)


def advance(
    rollout: Rollout, daemons: Daemons, settings: Settings, moment: Moment, wait: bool = False
) -> tuple[Rollout, list[Action]]:
    """Return the rollout after one look at the daemons, and what to do now.

    wait: whether another worker is down for a different reason. Then no worker is changed now.
    """
    rollout, actions = _signal(rollout, daemons)
    rollout = _follow(rollout, daemons, settings, moment)
    if rollout.step is not None:
        failure = _finished(rollout.step, rollout, daemons, moment)
        if failure is None:
            return rollout, actions
        rollout = replace(rollout, step=None, failure=failure or rollout.failure)
    if rollout.pending and not rollout.failure and not rollout.leaving and not wait:
        rollout, more = _next(rollout, daemons, settings, moment)
        actions += more
    return rollout, actions


def _affects(old: Settings, new: Settings, daemon: ObservedDaemon) -> bool:
    name = daemon.name
    return name.startswith("worker-") and affects_worker(old, new, name.removeprefix("worker-"))


def _signal(rollout: Rollout, daemons: Daemons) -> tuple[Rollout, list[Action]]:
    # A newer process has read the new settings at its start. A process without a heartbeat may not
    # have its signal handlers yet, and SIGHUP would end it.
    current = [each for each in daemons.values() if rollout.to_signal.get(each.name) == each.pid]
    waiting = {each.name: each.pid for each in current if not each.listens}
    actions: list[Action] = [Signal(each.name) for each in current if each.listens]
    return replace(rollout, to_signal=waiting), actions


def _follow(rollout: Rollout, daemons: Daemons, settings: Settings, moment: Moment) -> Rollout:
    """Find the daemons that have not taken up the settings yet.

    A signal that was sent does not prove that its receiver acted on it.
    """
    lagging = {
        each.name: _delay(each)
        for each in daemons.values()
        if each.listens and each.generation < rollout.wanted
    }
    by, failure = rollout.by, rollout.failure
    if not lagging or rollout.leaving or rollout.to_signal or rollout.step or rollout.pending:
        by = None
    elif by is None:
        timeouts = settings.supervise
        by = moment.clock + timeouts.start_timeout + timeouts.heartbeat_timeout
    elif moment.clock > by and not failure:
        names = ", ".join(f"{name}{delay}" for name, delay in lagging.items())
        failure = f"the new settings have not been taken up by {names}; see warren logs"
    return replace(rollout, lagging=lagging, by=by, failure=failure)


def _delay(daemon: ObservedDaemon) -> str:
    """Return, in brackets, what delays a daemon: the ledgers that it still changes; else empty."""
    names = ", ".join(daemon.unsettled)
    return f" (quotas with their old settings: {names})" if names else ""


def _next(
    rollout: Rollout, daemons: Daemons, settings: Settings, moment: Moment
) -> tuple[Rollout, list[Action]]:
    """Begin to change the first worker in line."""
    name = next(iter(rollout.pending))
    daemon = worker_of(daemons, name)
    if daemon is not None and daemon.pid and not daemon.listens:
        return rollout, []  # the worker is starting, perhaps with older settings than these
    new = rollout.pending[name]
    rest = {other: group for other, group in rollout.pending.items() if other != name}
    rollout = replace(rollout, pending=rest)
    if daemon is None:
        return rollout, []
    if new is None and not daemon.pid:
        # The worker failed, and reads the new settings when it starts again.
        return rollout, [Start(name)] if daemon.process.failed else []
    supervise = settings.supervise
    by = daemon.stop_timeout + supervise.start_timeout + supervise.heartbeat_timeout
    ready = daemon.reported.ready
    step = Step(name, daemon.pid, daemon.reloads, ready, moment.clock + by, moment.at)
    if new is not None:
        return replace(rollout, step=step, leaving={**rollout.leaving, name: new}), []
    return replace(rollout, step=step), [Signal(name)]


def _finished(step: Step, rollout: Rollout, daemons: Daemons, moment: Moment) -> str | None:
    """Return whether the worker of a step has finished.

    Returns "" when the worker works again, the reason when it has failed, and None while it may
    still come.
    """
    daemon, leaves = worker_of(daemons, step.program), step.program in rollout.leaving
    if daemon is None or (daemon.stopped and not leaves):
        # An operator has stopped or removed the worker, unless the reload is replacing it.
        return None if leaves else ""
    answered = daemon.pid not in (0, step.pid) or daemon.reloads > step.reloads
    # A worker that was connecting to its broker only has to reach that state again.
    connects = daemon.reported == Condition.CONNECTING and not step.was_at_work
    if answered and (daemon.reported.ready or connects):
        return ""
    if moment.clock <= step.by and not daemon.gave_up:
        return None
    state = daemon.observation.state
    found = daemon.last_error or (f"it is {state}" if state else "it has no heartbeat")
    # The capture file has the last output of a process that ended; `warren status` says what a
    # running process waits for.
    where = daemon.capture if daemon.last_error else "warren status"
    names = ", ".join(rollout.pending)
    later = f"; these continue with the old settings: {names}" if names else ""
    return f"{step.program} does not work with the new settings: {found}; see {where}{later}"
