"""supervisord with Warren's signals: an orderly stop, a reload that touches only what changed, a dump of its state."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from supervisor.states import ProcessStates, SupervisorStates, getProcessStateDescription
from supervisor.supervisord import Supervisor

from warren.config import Settings
from warren.errors import WarrenError
from warren.events import Event
from warren.log import get
from warren.supervise.options import Options
from warren.supervise.process import DaemonProcess
from warren.supervise.reload import Changes, Reload

#: Daemons that ended by themselves, which no operator stopped: new settings may be what they were waiting for.
_ENDED = (ProcessStates.FATAL, ProcessStates.EXITED)


class Suite(Supervisor):
    """The supervisor of one host's programs.

    SIGTERM, SIGINT, SIGQUIT: stop all in order. SIGHUP: read the settings anew. SIGUSR1: log the state of every
    program. SIGUSR2: reopen the capture files.
    """

    def __init__(self, options: Options, settings: Settings) -> None:
        super().__init__(options)
        self.settings = settings
        self._reload = Reload(settings, options)
        self._leaving: dict[str, Any] = {}  # group -> its new configuration, or None when it goes for good
        self._to_tell: list[tuple[DaemonProcess, int]] = []  # with the pid that it had when the settings changed
        self._expected_by = time.monotonic() + settings.supervise.start_timeout
        self._said_ready = self._said_late = self._said_stopping = False

    # -- the loop --------------------------------------------------------------------------------------------------

    def tick(self, now: float | None = None) -> None:
        """Supervisor calls this once in each turn of its loop, about once a second."""
        super().tick(now)
        if self.options.mood < SupervisorStates.RUNNING:
            self._say_stopping()
            return
        self._take_signals()
        self._finish_reload()
        self._exchange_groups()
        self._tell_settings_changed()
        self._say_ready()

    def ordered_stop_groups_phase_1(self) -> None:
        """Stops all groups of one priority at once: workers drain side by side, not one after the other."""
        waiting = self.stop_groups or []
        for group in waiting:
            if group.config.priority == waiting[-1].config.priority:
                group.stop_all()

    def _take_signals(self) -> None:
        received = self.options.own_signals.get_signal()
        if received == signal.SIGUSR1:
            get().info(Event.STATE_DUMPED, programs=[_state(each) for each in self._processes()], leaving=sorted(self._leaving))
        elif received == signal.SIGHUP:
            self._refusing(self._reload.begin)

    # -- reload ----------------------------------------------------------------------------------------------------

    def _finish_reload(self) -> None:
        changes = self._refusing(lambda: self._reload.poll(self))
        if changes is None:
            return
        self.settings = changes.settings
        kept = {group.name for group in self.options.process_group_configs}
        # A group that is on its way out because of the reload before this one comes back as it is now.
        self._leaving = dict.fromkeys(self._leaving)
        self._leaving.update({group.name: None for group in changes.removed + changes.changed})
        for group in self.options.process_group_configs:
            if group.name in self._leaving:
                self._leaving[group.name] = group
        for group in changes.added:
            self.add_process_group(group)
        self._wake_unchanged(kept - self._leaving.keys() - {group.name for group in changes.added})
        self._expected_by = time.monotonic() + changes.settings.supervise.start_timeout
        self._said_ready = self._said_late = False
        get().info(Event.RELOADED, **changes.names())

    def _wake_unchanged(self, groups: set[str]) -> None:
        """Running daemons are told to look for themselves; those that gave up may try again."""
        for process in self._processes():
            if not isinstance(process, DaemonProcess) or process.group.config.name not in groups:
                continue
            if process.pid:
                self._to_tell.append((process, process.pid))
            elif process.state == ProcessStates.BACKOFF:
                process.delay = 0
            elif process.state in _ENDED:
                process.spawn()

    def _exchange_groups(self) -> None:
        for name, replacement in list(self._leaving.items()):
            if name in self.process_groups:
                self.process_groups[name].stop_all()  # each turn: one that ended meanwhile may have been started again
                if not self.remove_process_group(name):
                    continue
            if replacement is not None:
                self.add_process_group(replacement)
            del self._leaving[name]

    def _tell_settings_changed(self) -> None:
        current = [(process, pid) for process, pid in self._to_tell if process.pid == pid]  # a newer one has read them
        for process, _ in current:
            if process.state == ProcessStates.RUNNING:
                process.signal(signal.SIGHUP)
        # One that is starting may not have its handlers yet, and SIGHUP would end it.
        self._to_tell = [(process, pid) for process, pid in current if process.state == ProcessStates.STARTING]

    def _refusing(self, step: Callable[[], Changes | None]) -> Changes | None:
        try:
            return step()
        except WarrenError as error:
            for problem in getattr(error, "problems", (error,)):
                get().error(Event.RELOAD_REFUSED, problem=str(problem))
        except Exception:  # noqa: BLE001 - the daemons at work are worth more than the new settings
            get().exception(Event.RELOAD_REFUSED, problem="an error that Warren did not foresee")
        return None

    # -- what is said once -----------------------------------------------------------------------------------------

    def _say_ready(self) -> None:
        expected = [each for each in self._processes() if isinstance(each, DaemonProcess) and not each.administrative_stop]
        late = [each for each in expected if each.state != ProcessStates.RUNNING]
        if self._said_ready:
            return
        if not late and not self._leaving:
            self._said_ready = True
            get().info(Event.READY, programs=[each.config.name for each in expected])
        elif time.monotonic() > self._expected_by and not self._said_late:
            self._said_late = True
            get().error(Event.NOT_READY, programs=[_state(each) for each in late])

    def _say_stopping(self) -> None:
        if not self._said_stopping:
            self._said_stopping = True
            restart = self.options.mood == SupervisorStates.RESTARTING
            get().info(Event.STOPPING, reason="asked to start anew" if restart else "asked to stop")

    def _processes(self) -> list[Any]:
        return [process for group in self.process_groups.values() for process in group.processes.values()]


def _state(process: Any) -> dict[str, object]:
    return {
        "program": process.config.name,
        "state": getProcessStateDescription(process.state),
        "pid": process.pid or None,
        "backoff": process.backoff,
        "exit_status": process.exitstatus,
        "trouble": process.spawnerr,
    }
