"""The programs of a suite, as far as a reload and a rolling restart observe and change them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from warren.status.condition import Condition
from warren.supervise.daemon_process import DaemonProcess, state_of
from warren.supervise.liveness.observe import Observation
from warren.supervise.liveness.readiness import by_heartbeat
from warren.supervise.programs.forget_cancelled import forget_cancelled


@dataclass(frozen=True)
class ObservedDaemon:
    """One daemon in one tick of supervisord's loop.

    pid: 0 without a process. process: the condition that follows from supervisord's state alone.
    reported: the condition by the heartbeat. stopped: whether a client of the socket has asked for
    the daemon's stop, or a reload stops it. gave_up: whether the daemon is not started again soon,
    or not at all. stop_timeout: seconds. capture: the path of the capture file.
    """

    name: str
    group: str
    pid: int
    process: Condition
    reported: Condition
    observation: Observation
    stopped: bool = False
    gave_up: bool = False
    last_error: str = ""
    stop_timeout: float = 0.0
    capture: str = ""

    @property
    def is_worker(self) -> bool:
        """Return whether the daemon is a worker in a group of its own, as Warren renders it."""
        return self.name.startswith("worker-") and self.group == self.name

    @property
    def listens(self) -> bool:
        """Return whether the daemon has its signal handlers.

        It has them when its present process has written a heartbeat.
        """
        return self.process == Condition.RUNNING and self.observation.heartbeat is not None

    @property
    def generation(self) -> int:
        """Return the generation of the settings that the daemon has taken up; 0 if unknown."""
        return self._number("generation")

    @property
    def reloads(self) -> int:
        """Return the number of SIGHUPs that the daemon has answered; 0 if it has not said."""
        return self._number("reloads")

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Return the quotas whose ledgers the daemon has not changed to the new settings yet."""
        found = self.observation.details.get("unsettled")
        return tuple(map(str, found)) if isinstance(found, list) else ()

    def _number(self, name: str) -> int:
        found = self.observation.details.get(name, 0)
        return found if isinstance(found, int) else 0


#: The daemons of a suite by name.
Daemons = Mapping[str, ObservedDaemon]


def worker_of(daemons: Daemons, name: str) -> ObservedDaemon | None:
    """Return the worker with this name; None when there is no such worker (any more)."""
    found = daemons.get(name)
    return found if found is not None and found.is_worker else None


class Programs(Protocol):
    """The whole interface between a reload and the programs."""

    def observe(self) -> Daemons:
        """Return every daemon as it is now."""

    def signal(self, name: str) -> None:
        """Send SIGHUP to a daemon: it reads the accepted settings again."""

    def start(self, name: str) -> None:
        """Start a daemon that has no process, without a pause."""

    def restart(self, name: str) -> None:
        """Stop a worker gracefully and start it again, for an operator."""

    def add(self, group: Any) -> None:
        """Add a group with this configuration of supervisor."""

    def replace(self, name: str, group: Any) -> bool:
        """Stop a group, then put `group` in its place; None puts nothing there.

        Returns whether this is done. Until it is done, call this again in each tick.
        """


class SuitePrograms:
    """The programs of a running supervisord."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite

    def observe(self) -> Daemons:
        """Return every daemon as it is now."""
        return {process.config.name: self._observed(process) for process in self._suite.daemons()}

    def signal(self, name: str) -> None:
        """Send SIGHUP to a daemon."""
        self._process(name).signal(signal.SIGHUP)

    def start(self, name: str) -> None:
        """Start a daemon that has no process, without a pause."""
        self._process(name).start_now()

    def restart(self, name: str) -> None:
        """Stop a worker and start it again; only start a worker without a process.

        The queues that remote control has cancelled are forgotten between the two: until the
        worker has ended, remote control may cancel another queue.
        """
        process = self._process(name)
        reason = "an operator has restarted the worker"
        forget = partial(forget_cancelled, self._suite.settings, name, reason)
        if process.pid:
            process.restart(forget)
        else:
            forget()
            process.start_now()

    def add(self, group: Any) -> None:
        """Add a group with this configuration of supervisor."""
        self._suite.add_process_group(group)

    def replace(self, name: str, group: Any) -> bool:
        """Stop a group and, once it has ended, put `group` in its place."""
        groups = self._suite.process_groups
        if name in groups:
            # In each tick: a program that ended meanwhile may have been started again.
            groups[name].stop_all()
            if not self._suite.remove_process_group(name):
                return False
        if group is not None:
            self._suite.add_process_group(group)
        elif name.startswith("worker-"):
            forget_cancelled(self._suite.settings, name, "a reload took the worker away")
        return True

    def _process(self, name: str) -> DaemonProcess:
        daemons: list[DaemonProcess] = self._suite.daemons()
        return next(each for each in daemons if each.config.name == name)

    def _observed(self, process: DaemonProcess) -> ObservedDaemon:
        observation = self._suite.observations.get(process.config.name)
        if observation is None or observation.pid != process.pid:
            observation = Observation(process.pid)
        return ObservedDaemon(
            process.config.name,
            process.group.config.name,
            process.pid,
            Condition.of_process(state_of(process)),
            by_heartbeat(observation, self._suite.settings),
            observation,
            bool(process.administrative_stop),
            process.gave_up,
            process.last_error,
            process.config.stopwaitsecs,
            str(process.config.stdout_logfile),
        )
