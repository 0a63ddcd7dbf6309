"""What a reload does to the programs of a running supervisord: what did not change goes on, workers change one at a time.

Workers that drained all at once would leave the queues to nobody for as long as their longest task.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisor.states import ProcessStates

from warren.config import Settings
from warren.config.concern import concerns_worker
from warren.heartbeat import AT_WORK
from warren.run_file import now
from warren.supervise.doing import Doing, activity
from warren.supervise.hearts import Sight
from warren.supervise.process import DaemonProcess
from warren.supervise.reload import Changes

#: Daemons that ended by themselves, which no operator stopped: new settings may be what they were waiting for.
_ENDED = (ProcessStates.FATAL, ProcessStates.EXITED)


@dataclass(frozen=True)
class _Step:
    """One worker that is being changed. It must be at work again `by` (CLOCK_MONOTONIC) if it was before."""

    program: str
    pid: int
    reloads: int
    was_at_work: bool
    by: float
    since: float = field(default_factory=now)


class Exchange:
    """The groups of one supervisord, on their way from the old settings to the new ones."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite
        self._leaving: dict[str, Any] = {}  # group -> its new configuration, or None when it goes for good
        self._to_tell: list[tuple[DaemonProcess, int]] = []  # with the pid that it had when the settings changed
        self._line: dict[str, Any] = {}  # workers in their order -> new configuration, or None to tell the one that runs
        self._step: _Step | None = None
        self._wanted = 0  # the generation that every daemon is to take up
        self._lagging: dict[str, str] = {}  # programs that have not said so yet, with what keeps them
        self._by: float | None = None  # when (CLOCK_MONOTONIC) that is a failure, once nothing else is on its way
        self.failure = ""
        self._since = now()

    @property
    def done(self) -> bool:
        """Whether nothing is on its way, and every daemon has said that it took the settings up."""
        on_its_way = self._leaving or self._to_tell or self._step
        return not on_its_way and (not (self._line or self._lagging) or bool(self.failure))

    @property
    def leaving(self) -> list[str]:
        """The groups that are being stopped."""
        return sorted(self._leaving)

    @property
    def busy(self) -> set[str]:
        """The groups that are not as the settings say yet, and that nobody else is to touch."""
        return self._leaving.keys() | self._line.keys()

    def begin(self, old: Settings, changes: Changes, groups: Iterable[Any]) -> None:
        """Takes up the changes of a reload; `groups` is all that supervisord now has in its configuration.

        Workers that an earlier reload has not come to are still in line.
        """
        self.failure, self._since = "", now()
        self._wanted, self._by = changes.settings.generation, None
        self._lagging = {process.config.name: "" for process in self._suite.daemons() if process.pid}  # until they are looked at
        wanted = {group.name: group for group in groups}
        # A group that is on its way out because of the reload before this one comes back as it is now.
        leaving = dict.fromkeys([*self._leaving, *(group.name for group in changes.removed + changes.changed)])
        self._leaving = {name: wanted.get(name) for name in leaving}
        self._line = {name: None for name in self._line if name in wanted and name not in self._leaving}
        for name in [name for name, new in self._leaving.items() if new is not None and self._worker(name)]:
            self._line[name] = self._leaving.pop(name)
        for group in changes.added:
            self._suite.add_process_group(group)
        added = {group.name for group in changes.added}
        for process in self._suite.daemons():
            if process.group.config.name not in self._leaving.keys() | self._line.keys() | added:
                self._wake(process, old, changes.settings)

    def turn(self, sights: Mapping[str, Sight], settings: Settings, wait: bool = False) -> None:
        """One step, in each turn of supervisord's loop. `wait`: a worker is out for another reason, so none is changed now."""
        self._exchange_groups()
        self._tell(sights)
        self._follow(sights, settings)
        if self._step is not None and not self._finished(self._step, sights):
            return
        self._step = None
        if self._line and not self.failure and not self._leaving and not wait:
            self._next(sights, settings)

    def doing(self, sights: Mapping[str, Sight]) -> Doing | None:
        """What whoever waits is told; None when nothing is on its way."""
        if self._step is not None:
            name = self._step.program
            said = activity(self._worker(name), sights.get(name))
            return Doing(f"changing {name}{said}", self._step.since, tuple(self._line))
        names = self.leaving or [process.config.name for process, _ in self._to_tell] or list(self._line or self._lagging)
        if self.done or not names:
            return None
        return Doing(f"waiting for {', '.join(names)}", self._since, ())

    # -- what can happen at once -----------------------------------------------------------------------------------

    def _wake(self, process: DaemonProcess, old: Settings, new: Settings) -> None:
        """Running daemons are told to look for themselves; those that gave up may try again."""
        name = process.config.name
        if process.pid:
            worker = name.removeprefix("worker-") if name.startswith("worker-") else None
            if worker and concerns_worker(old, new, worker):
                self._line[name] = None
            else:
                self._to_tell.append((process, process.pid))
        elif process.state == ProcessStates.BACKOFF:
            process.delay = 0
        elif process.state in _ENDED:
            process.spawn()

    def _exchange_groups(self) -> None:
        for name, replacement in list(self._leaving.items()):
            groups = self._suite.process_groups
            if name in groups:
                groups[name].stop_all()  # each turn: one that ended meanwhile may have been started again
                if not self._suite.remove_process_group(name):
                    continue
            if replacement is not None:
                self._suite.add_process_group(replacement)
            del self._leaving[name]

    def _tell(self, sights: Mapping[str, Sight]) -> None:
        current = [(process, pid) for process, pid in self._to_tell if process.pid == pid]  # a newer one has read them
        # One that has no heart yet may not have its handlers either, and SIGHUP would end it.
        self._to_tell = [(process, pid) for process, pid in current if not _listens(process, sights)]
        for process, _ in current:
            if _listens(process, sights):
                process.signal(signal.SIGHUP)

    def _follow(self, sights: Mapping[str, Sight], settings: Settings) -> None:
        """Looks who has not taken up the settings yet: a signal that was sent is no word of its receiver."""
        self._lagging = {
            process.config.name: _kept(sights[process.config.name])
            for process in self._suite.daemons()
            if _listens(process, sights) and _generation(sights[process.config.name]) < self._wanted
        }
        if not self._lagging or self._leaving or self._to_tell or self._step or self._line:
            self._by = None
        elif self._by is None:
            self._by = time.monotonic() + settings.supervise.start_timeout + settings.supervise.heart_timeout
        elif time.monotonic() > self._by and not self.failure:
            lagging = ", ".join(f"{name}{kept}" for name, kept in self._lagging.items())
            self.failure = f"the new settings have not been taken up by {lagging}; see warren logs"

    # -- one worker after the other --------------------------------------------------------------------------------

    def _next(self, sights: Mapping[str, Sight], settings: Settings) -> None:
        name = next(iter(self._line))
        process = self._worker(name)
        if process is not None and process.pid and not _listens(process, sights):
            return  # it is starting, with settings that may be older than these
        replacement = self._line.pop(name)
        if process is None:
            return
        if replacement is None and not process.pid:
            process.delay = 0  # it failed, and reads the new settings at its next try
            return
        sight = sights.get(name)
        patience = process.config.stopwaitsecs + settings.supervise.start_timeout + settings.supervise.heart_timeout
        was_at_work = sight is not None and sight.state in AT_WORK
        self._step = _Step(name, process.pid, _reloads(sight), was_at_work, time.monotonic() + patience)
        if replacement is not None:
            self._leaving[name] = replacement
        else:
            process.signal(signal.SIGHUP)

    def _finished(self, step: _Step, sights: Mapping[str, Sight]) -> bool:
        process, sight = self._worker(step.program), sights.get(step.program)
        if process is None or (process.administrative_stop and step.program not in self._leaving):
            return step.program not in self._leaving  # somebody else has taken it away
        answered = sight is not None and (sight.pid != step.pid or _reloads(sight) > step.reloads)
        # Of one that was looking for its broker no more is asked than to look for it again.
        enough = AT_WORK if step.was_at_work else (*AT_WORK, "connecting")
        if answered and sight is not None and sight.state in enough:
            return True
        if time.monotonic() > step.by or process.held or process.state == ProcessStates.FATAL:
            later = f"; with the old settings go on: {', '.join(self._line)}" if self._line else ""
            found = process.trouble or (f"it is {sight.state}" if sight and sight.state else "it has no heart")
            # What ended has its last words in its capture file; what runs says in `warren status` what it waits for.
            where = process.config.stdout_logfile if process.trouble else "warren status"
            self.failure = f"{step.program} does not work with the new settings: {found}; see {where}{later}"
            return True
        return False

    def _worker(self, name: str) -> DaemonProcess | None:
        if not name.startswith("worker-") or name not in self._suite.process_groups:
            return None
        return next((process for process in self._suite.daemons() if process.config.name == name), None)


def _listens(process: DaemonProcess, sights: Mapping[str, Sight]) -> bool:
    sight = sights.get(process.config.name)
    return process.state == ProcessStates.RUNNING and sight is not None and sight.beat is not None and sight.pid == process.pid


def _generation(sight: Sight) -> int:
    said = sight.beat.evidence.get("generation", 0) if sight.beat else 0
    return said if isinstance(said, int) else 0


def _kept(sight: Sight) -> str:
    """What keeps a daemon, in brackets, as far as it says so: the quota-watchdog has ledgers to change."""
    quotas = sight.beat.evidence.get("unsettled") if sight.beat else None
    return f" (quotas with their old terms: {', '.join(map(str, quotas))})" if isinstance(quotas, list) and quotas else ""


def _reloads(sight: Sight | None) -> int:
    said = sight.beat.evidence.get("reloads", 0) if sight and sight.beat else 0
    return said if isinstance(said, int) else 0
