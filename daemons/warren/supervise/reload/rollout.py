"""The part of a reload that changes the programs of a running supervisord.

A program that did not change continues to run. Workers change one at a time: if all workers drained
at once, nobody would serve the queues for as long as the longest task.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from warren.config import Settings
from warren.config.affected_daemons import affects_worker
from warren.status.activity import Doing
from warren.status.condition import Condition
from warren.status.status_file import now
from warren.supervise.daemon_process import DaemonProcess, state_of
from warren.supervise.liveness.observe import Observation
from warren.supervise.programs.cancelled import forget_cancelled
from warren.supervise.reload.daemon_answers import generation, listens, reason, reloads
from warren.supervise.reload.plan import Changes
from warren.supervise.reload.progress_text import activity


@dataclass(frozen=True)
class _Step:
    """One worker that is being changed.

    If the worker was at work before, it must be at work again `by` (seconds of CLOCK_MONOTONIC).
    """

    program: str
    pid: int
    reloads: int
    was_at_work: bool
    by: float
    since: float = field(default_factory=now)


class Rollout:
    """The process groups of one supervisord during the change from old settings to new ones."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite
        # The new configuration of each group that stops; None for a group that is removed.
        self._leaving: dict[str, Any] = {}
        # Each process to signal, with the process number that it had when the settings changed.
        self._to_signal: list[tuple[DaemonProcess, int]] = []
        # The workers in their order, each with its new configuration; None for a running worker
        # that only needs a signal.
        self._pending: dict[str, Any] = {}
        self._step: _Step | None = None
        self._wanted = 0  # the generation of the settings that every daemon must take up
        # The programs that have not reported this generation yet, each with the reason.
        self._lagging: dict[str, str] = {}
        # When nothing else changes any more, a lagging program is a failure from then on (seconds
        # of CLOCK_MONOTONIC).
        self._by: float | None = None
        self.failure = ""
        self._since = now()

    @property
    def done(self) -> bool:
        """Return whether no change is left, and every daemon has reported the new settings.

        A failure ends the change as well.
        """
        on_its_way = self._leaving or self._to_signal or self._step
        return not on_its_way and (not (self._pending or self._lagging) or bool(self.failure))

    @property
    def leaving(self) -> list[str]:
        """Return the names of the groups that are being stopped."""
        return sorted(self._leaving)

    @property
    def busy(self) -> set[str]:
        """Return the groups that do not match the settings yet; nothing else may touch them."""
        return self._leaving.keys() | self._pending.keys()

    def begin(self, old: Settings, changes: Changes, groups: Iterable[Any]) -> None:
        """Begin the changes of a reload; `groups` are all groups that supervisord now configures.

        Workers that an earlier reload has not reached yet stay in line.
        """
        self.failure, self._since = "", now()
        self._wanted, self._by = changes.settings.generation, None
        # Every running daemon counts as lagging until the first look.
        self._lagging = {
            process.config.name: "" for process in self._suite.daemons() if process.pid
        }
        wanted = {group.name: group for group in groups}
        # A group that an earlier reload is still stopping comes back with today's configuration.
        leaving = dict.fromkeys(
            [*self._leaving, *(group.name for group in changes.removed + changes.changed)]
        )
        self._leaving = {name: wanted.get(name) for name in leaving}
        self._pending = {
            name: None for name in self._pending if name in wanted and name not in self._leaving
        }
        for name in [
            name for name, new in self._leaving.items() if new is not None and self._worker(name)
        ]:
            self._pending[name] = self._leaving.pop(name)
        for group in changes.added:
            self._suite.add_process_group(group)
        added = {group.name for group in changes.added}
        for process in self._suite.daemons():
            if process.group.config.name not in self._leaving.keys() | self._pending.keys() | added:
                self._wake(process, old, changes.settings)

    def step(
        self, observations: Mapping[str, Observation], settings: Settings, wait: bool = False
    ) -> None:
        """Take one step; called in each tick of supervisord's loop.

        With `wait` another worker is down for a different reason, so no worker is changed now.
        """
        self._replace_groups()
        self._signal(observations)
        self._follow(observations, settings)
        if self._step is not None and not self._finished(self._step, observations):
            return
        self._step = None
        if self._pending and not self.failure and not self._leaving and not wait:
            self._next(observations, settings)

    def doing(self, observations: Mapping[str, Observation]) -> Doing | None:
        """Return the activity for a command that waits; None when no change is left."""
        if self._step is not None:
            name = self._step.program
            activity_text = activity(self._worker(name), observations.get(name))
            return Doing(f"changing {name}{activity_text}", self._step.since, tuple(self._pending))
        names = (
            self.leaving
            or [process.config.name for process, _ in self._to_signal]
            or list(self._pending or self._lagging)
        )
        if self.done or not names:
            return None
        return Doing(f"waiting for {', '.join(names)}", self._since, ())

    # -- changes that may happen at once -----------------------------------------------------------

    def _wake(self, process: DaemonProcess, old: Settings, new: Settings) -> None:
        """Signal a running daemon to read its settings; let a daemon that gave up try again."""
        name = process.config.name
        if process.pid:
            worker = name.removeprefix("worker-") if name.startswith("worker-") else None
            if worker and affects_worker(old, new, worker):
                self._pending[name] = None
            else:
                self._to_signal.append((process, process.pid))
        # New settings may be what a daemon needs that ended by itself.
        elif Condition.of_process(state_of(process)).failed:
            process.start_now()

    def _replace_groups(self) -> None:
        for name, replacement in list(self._leaving.items()):
            groups = self._suite.process_groups
            if name in groups:
                # In each tick: a program that ended meanwhile may have been started again.
                groups[name].stop_all()
                if not self._suite.remove_process_group(name):
                    continue
            if replacement is not None:
                self._suite.add_process_group(replacement)
            elif name.startswith("worker-"):
                forget_cancelled(self._suite.settings, name, "a reload took the worker away")
            del self._leaving[name]

    def _signal(self, observations: Mapping[str, Observation]) -> None:
        # A newer process has read the new settings at its start.
        current = [(process, pid) for process, pid in self._to_signal if process.pid == pid]
        # A process without a heartbeat may not have its signal handlers yet, and SIGHUP would end
        # it.
        self._to_signal = [
            (process, pid) for process, pid in current if not listens(process, observations)
        ]
        for process, _ in current:
            if listens(process, observations):
                process.signal(signal.SIGHUP)

    def _follow(self, observations: Mapping[str, Observation], settings: Settings) -> None:
        """Find the daemons that have not taken up the settings yet.

        A signal that was sent does not prove that its receiver acted on it.
        """
        self._lagging = {
            process.config.name: reason(observations[process.config.name])
            for process in self._suite.daemons()
            if listens(process, observations)
            and generation(observations[process.config.name]) < self._wanted
        }
        if not self._lagging or self._leaving or self._to_signal or self._step or self._pending:
            self._by = None
        elif self._by is None:
            self._by = (
                time.monotonic()
                + settings.supervise.start_timeout
                + settings.supervise.heartbeat_timeout
            )
        elif time.monotonic() > self._by and not self.failure:
            lagging = ", ".join(f"{name}{reason}" for name, reason in self._lagging.items())
            self.failure = f"the new settings have not been taken up by {lagging}; see warren logs"

    # -- one worker after the other ----------------------------------------------------------------

    def _next(self, observations: Mapping[str, Observation], settings: Settings) -> None:
        name = next(iter(self._pending))
        process = self._worker(name)
        if process is not None and process.pid and not listens(process, observations):
            return  # the worker is starting, perhaps with settings that are older than these
        replacement = self._pending.pop(name)
        if process is None:
            return
        if replacement is None and not process.pid:
            process.delay = 0  # the worker failed, and reads the new settings when it starts again
            return
        observation = observations.get(name)
        supervise = settings.supervise
        timeout = (
            process.config.stopwaitsecs + supervise.start_timeout + supervise.heartbeat_timeout
        )
        was_at_work = observation is not None and Condition.of_heartbeat(observation.state).ready
        deadline = time.monotonic() + timeout
        self._step = _Step(name, process.pid, reloads(observation), was_at_work, deadline)
        if replacement is not None:
            self._leaving[name] = replacement
        else:
            process.signal(signal.SIGHUP)

    def _finished(self, step: _Step, observations: Mapping[str, Observation]) -> bool:
        process, observation = self._worker(step.program), observations.get(step.program)
        if process is None or (process.administrative_stop and step.program not in self._leaving):
            # An operator has stopped or removed the worker.
            return step.program not in self._leaving
        answered = observation is not None and (
            observation.pid != step.pid or reloads(observation) > step.reloads
        )
        # A worker that was connecting to its broker only has to reach that state again.
        condition = Condition.of_heartbeat(observation.state if observation else "")
        enough = condition.ready or (condition == Condition.CONNECTING and not step.was_at_work)
        if answered and enough:
            return True
        if time.monotonic() > step.by or process.gave_up:
            later = (
                f"; these continue with the old settings: {', '.join(self._pending)}"
                if self._pending
                else ""
            )
            found = process.last_error or (
                f"it is {observation.state}"
                if observation and observation.state
                else "it has no heartbeat"
            )
            # The capture file has the last output of a process that ended; `warren status` says
            # what a running process waits for.
            where = process.config.stdout_logfile if process.last_error else "warren status"
            self.failure = (
                f"{step.program} does not work with the new settings: {found}; see {where}{later}"
            )
            return True
        return False

    def _worker(self, name: str) -> DaemonProcess | None:
        if not name.startswith("worker-") or name not in self._suite.process_groups:
            return None
        return next(
            (process for process in self._suite.daemons() if process.config.name == name), None
        )
