"""supervisord with Warren's signals: a graceful stop, a reload, a dump of its state.

A reload touches only the programs whose settings changed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from supervisor.medusa import asyncore_25 as asyncore
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from warren.config import Settings
from warren.errors import ExitCode, WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status import heartbeat
from warren.status.activity import Doing
from warren.status.suite_report import Outcome
from warren.supervise.daemon_process import DaemonProcess, state_of
from warren.supervise.liveness.killed_daemon import KilledDaemons
from warren.supervise.liveness.observe import Observation, look
from warren.supervise.liveness.recover import Recovery
from warren.supervise.options import Options
from warren.supervise.programs.groups import Groups
from warren.supervise.programs.run_directory import RunDirectory
from warren.supervise.reload.plan import Changes, Reload
from warren.supervise.reload.rolling_restart import RollingRestart, checking
from warren.supervise.reload.rollout import Rollout
from warren.supervise.status.judged import status_of
from warren.supervise.status.reporter import StatusReporter, View
from warren.supervise.status.sd_notify import Notifier, first_problem
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
        self.settings = settings
        self._notifier = notifier
        self._reports = StatusReporter(
            settings.app.run_dir, notifier, settings.supervise.start_timeout
        )
        self._observations: dict[str, Observation] = {}
        self._recovery = Recovery()
        self._last_tick = time.monotonic()
        self._reload = Reload(settings, options)
        self._rollout = Rollout(self)
        self._rolling = RollingRestart(self)
        self._groups = Groups(self)
        self._run_directory = RunDirectory(lock)
        self._steps = Steps()
        self._leftovers = KilledDaemons()

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
            take("reload", self._finish_check)
            take("programs", lambda: self._groups.step(self.options.groups, self._rollout.busy))
            take(
                "recovery",
                lambda: self._recovery.step(
                    self.daemons(), self._observations, self.settings, elapsed
                ),
            )
            take(
                "rollout",
                lambda: self._rollout.step(
                    self._observations, self.settings, self._rolling.stepping
                ),
            )
            take("rolling restart", self._roll)
        take(
            "leftovers", lambda: self._leftovers.step(self.options.pidhistory, self._daemon_names())
        )
        take("status", lambda: self._reports.tell(self._view()))
        self._steps.turned()

    def runforever(self) -> None:
        """Run supervisord's loop.

        An error outside `tick`, such as one of a program that is no daemon, does not end the loop
        either.
        """
        self._steps.loop(super().runforever, asyncore.ExitNow)

    def _look(self, elapsed: float) -> None:
        pids = {process.config.name: process.pid for process in self.daemons() if process.pid}
        read = heartbeat.read(
            self.settings.app.run_dir, [process.config.name for process in self.daemons()]
        )
        self._observations = look(
            self._observations,
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
            logger().info(Event.STATE_DUMPED, programs=states, leaving=self._rollout.leaving)
        elif received == signal.SIGHUP:
            self._reports.reload_asked()
            self._refusing(self._reload.begin)

    # -- rolling restart ---------------------------------------------------------------------------

    def restart_workers(self, programs: list[str]) -> float:
        """Begin a rolling restart of workers, after a check that they could start.

        Return the name of the restart.
        """
        return self._rolling.begin(programs, checking(self))

    def _roll(self) -> None:
        restarted = self._rolling.step(
            self._observations, self._rollout.done and not self._reload.running
        )
        if restarted is not None:
            self._reports.restarted(restarted)

    # -- reload ------------------------------------------------------------------------------------

    def _finish_check(self) -> None:
        old = self.settings
        changes = self._refusing(lambda: self._reload.poll(self))
        if changes is None:
            return
        self.settings = changes.settings
        self._rollout.begin(old, changes, self.options.process_group_configs)
        self._reports.reload_taken(changes.begun, changes.settings.supervise.start_timeout)
        logger().info(Event.RELOADED, **changes.names())

    def _refusing(self, step: Callable[[], Changes | None]) -> Changes | None:
        begun = self._reload.begun
        try:
            return step()
        except WarrenError as error:
            problems = [str(problem) for problem in getattr(error, "problems", (error,))]
            for problem in problems:
                logger().error(Event.RELOAD_REFUSED, problem=problem)
            self._reports.reload_refused(
                Outcome(begun, "refused", problems, int(error.exit_code)),
                first_problem(error),
                self._view(),
            )
        # The daemons that run must not end because of the new settings.
        except Exception as error:  # noqa: BLE001
            logger().exception(Event.RELOAD_REFUSED, problem="an error that Warren did not foresee")
            refusal = f"{type(error).__name__}: {error}"
            self._reports.reload_refused(
                Outcome(begun, "refused", [refusal], int(ExitCode.SOFTWARE)), refusal, self._view()
            )
        return None

    # -- status ------------------------------------------------------------------------------------

    def _view(self) -> View:
        stopping = ""
        if self.options.mood < SupervisorStates.RUNNING:
            restart = self.options.mood == SupervisorStates.RESTARTING
            stopping = "asked to start again" if restart else "asked to stop"
        return View(
            [
                status_of(process, self._observations.get(process.config.name), self.settings)
                for process in self._processes()
            ],
            len(self.settings.quotas),
            self.settings.supervise.start_timeout,
            stopping,
            self._reload.running,
            not self._rollout.done,
            self._rollout.failure,
            self._doing(),
        )

    def _doing(self) -> Doing | None:
        if self._reload.running:
            modules = ", ".join(self.settings.app.modules) or "none"
            return Doing(f"checking the new settings (task modules: {modules})", self._reload.begun)
        return self._rollout.doing(self._observations) or self._rolling.doing(self._observations)

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
