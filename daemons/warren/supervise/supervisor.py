"""supervisord with Warren's signals: a graceful stop, a reload, a dump of its state.

A reload touches only the programs whose settings changed.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from supervisor.medusa import asyncore_25 as asyncore
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from warren.config import Settings
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status import heartbeat
from warren.supervise.daemon_process import DaemonProcess, state_of
from warren.supervise.liveness.killed_daemon import KilledDaemons
from warren.supervise.liveness.observe import Observation, look
from warren.supervise.liveness.recover import Recovery
from warren.supervise.options import Options
from warren.supervise.programs.program_guard import Groups
from warren.supervise.programs.run_directory import RunDirectory
from warren.supervise.reload.check import begin_check
from warren.supervise.reload.reload_state import Rolling, name_of, settled
from warren.supervise.reload.reload_steps import ReloadSteps
from warren.supervise.reload.rolling_restart import RollingRestart
from warren.supervise.reload.rollout import Moment
from warren.supervise.reload.suite_programs import SuitePrograms
from warren.supervise.status.program_status import status_of
from warren.supervise.status.reporter import StatusReporter, View
from warren.supervise.status.sd_notify import Notifier
from warren.supervise.step_errors import Steps
from warren.system.run_lock import Lock


class SuiteSupervisor(Supervisor):
    """The supervisor of one host's programs.

    SIGTERM, SIGINT, SIGQUIT: stop all programs gracefully. SIGHUP: read the settings again.
    SIGUSR1: log the state of every program. SIGUSR2: reopen the capture files.
    """

    def __init__(
        self, options: Options, settings: Settings, notifier: Notifier, lock: Lock
    ) -> None:
        super().__init__(options)
        self._notifier = notifier
        self._reports = StatusReporter(settings.app.run_dir, notifier)
        self.observations: dict[str, Observation] = {}
        self._recovery = Recovery()
        self._last_tick = time.monotonic()
        programs = SuitePrograms(self)
        start = Rolling(Moment().clock + settings.supervise.start_timeout, starting=True)
        self._reload = ReloadSteps(
            settings, programs, options, self._reports, self.diff_to_active, start
        )
        self._rolling = RollingRestart(programs)
        self._groups = Groups(self)
        self._run_directory = RunDirectory(lock)
        self._steps = Steps()
        self._leftovers = KilledDaemons()

    @property
    def settings(self) -> Settings:
        """Return the settings in force."""
        return self._reload.settings

    # -- the loop ----------------------------------------------------------------------------------

    def tick(self, now: float | None = None) -> None:
        """Run Warren's steps; supervisor calls this in each tick, about once a second."""
        self._notifier.alive()
        elapsed = time.monotonic() - self._last_tick
        self._last_tick += elapsed
        take = self._steps.take
        take("supervisor", lambda: super(SuiteSupervisor, self).tick(now))
        if self.options.mood >= SupervisorStates.RUNNING:
            self.options.restore()
            take("run directory", lambda: self._run_directory.step(self))
        take("heartbeats", lambda: self._look(elapsed))
        if self.options.mood >= SupervisorStates.RUNNING:
            take("signals", self._take_signals)
            take("reload", self._reload.finish_check)
            take("programs", lambda: self._groups.step(self.options.groups, self._reload.busy))
            take(
                "recovery",
                lambda: self._recovery.step(
                    self.daemons(), self.observations, self.settings, elapsed
                ),
            )
            take("rollout", lambda: self._reload.advance(self._rolling.stepping))
            take("rolling restart", self._roll)
        take(
            "leftovers", lambda: self._leftovers.step(self.options.pidhistory, self._daemon_names())
        )
        take("status", self._report)
        self._steps.turned()

    def runforever(self) -> None:
        """Run supervisord's loop.

        An error outside `tick`, such as an error of a program that is not a daemon, does not end
        the loop either.
        """
        self._steps.loop(super().runforever, asyncore.ExitNow)

    def _look(self, elapsed: float) -> None:
        pids = {process.config.name: process.pid for process in self.daemons() if process.pid}
        read = heartbeat.read(
            self.settings.app.run_dir, [process.config.name for process in self.daemons()]
        )
        self.observations = look(
            self.observations,
            read.by_program,
            pids,
            elapsed,
            self._reports.can_write,
            read.errors_found,
        )
        for process in self.daemons():
            if process.config.name in read.by_program:
                process.hear(read.by_program[process.config.name])

    def ordered_stop_groups_phase_1(self) -> None:
        """Stop all groups of one priority at once: workers drain in parallel, not one after
        another.
        """
        waiting = self.stop_groups or []
        for group in waiting:
            if group.config.priority == waiting[-1].config.priority:
                group.stop_all()

    def _daemon_names(self) -> set[str]:
        return {process.config.name for process in self.daemons()}

    def daemons(self) -> list[DaemonProcess]:
        """Return the processes of the programs that Warren rendered."""
        return [process for process in self._processes() if isinstance(process, DaemonProcess)]

    def _take_signals(self) -> None:
        received = self.options.own_signals.get_signal()
        if received == signal.SIGUSR1:
            states = [_state(each) for each in self._processes()]
            logger().info(Event.STATE_DUMPED, programs=states, leaving=self._reload.leaving)
        elif received == signal.SIGHUP:
            self._reload.ask()

    # -- rolling restart ---------------------------------------------------------------------------

    def restart_workers(self, programs: list[str]) -> float:
        """Begin a rolling restart of workers, after a check that they could start.

        Return the name of the restart.
        """
        return self._rolling.begin(programs, begin_check(self.settings, self.options.pidhistory))

    def _roll(self) -> None:
        restarted = self._rolling.step(self.settings, self._reload.over)
        if restarted is not None:
            self._reports.restarted(restarted)

    # -- status ------------------------------------------------------------------------------------

    def _report(self) -> None:
        stopping = ""
        statuses = [
            status_of(process, self.observations.get(process.config.name), self.settings)
            for process in self._processes()
        ]
        if self.options.mood < SupervisorStates.RUNNING:
            restart = self.options.mood == SupervisorStates.RESTARTING
            stopping = "asked to start again" if restart else "asked to stop"
            self._reload.stop()
        else:
            self._reload.judge(statuses)
        self._reports.tell(
            View(
                statuses,
                len(self.settings.quotas),
                name_of(self._reload.state),
                stopping,
                settled(self._reload.state).refusal,
                self._reload.doing() or self._rolling.doing(),
            )
        )

    def _processes(self) -> list[Any]:
        return [
            process
            for group in self.process_groups.values()
            for process in group.processes.values()
        ]


def _state(process: Any) -> dict[str, object]:
    return {
        "program": process.config.name,
        "state": state_of(process),
        "pid": process.pid or None,
        "backoff": process.backoff,
        "exit_status": process.exitstatus,
        "last_error": process.last_error
        if isinstance(process, DaemonProcess)
        else process.spawnerr,
    }
