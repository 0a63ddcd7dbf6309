"""supervisord with Warren's signals: an orderly stop, a reload that touches only what changed, a dump of its state."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from warren import heartbeat
from warren.config import Settings
from warren.errors import ExitCode, WarrenError
from warren.events import Event
from warren.log import get
from warren.supervise.care import Care
from warren.supervise.exchange import Exchange
from warren.supervise.hearts import Sight, at_work, look
from warren.supervise.notify import Notifier, first_problem
from warren.supervise.options import Options
from warren.supervise.process import DaemonProcess, state_of
from warren.supervise.programs import Outcome, Programs
from warren.supervise.reload import Changes, Reload
from warren.supervise.standing import Standing, all_ready, summary


class Suite(Supervisor):
    """The supervisor of one host's programs.

    SIGTERM, SIGINT, SIGQUIT: stop all in order. SIGHUP: read the settings anew. SIGUSR1: log the state of every
    program. SIGUSR2: reopen the capture files.
    """

    def __init__(self, options: Options, settings: Settings, notifier: Notifier) -> None:
        super().__init__(options)
        self.settings = settings
        self._notifier = notifier
        self._programs = Programs(settings.app.run_dir)
        self._can_write = True
        self._sights: dict[str, Sight] = {}
        self._care = Care()
        self._turned = time.monotonic()
        self._reload = Reload(settings, options)
        self._exchange = Exchange(self)
        self._reloading: float | None = None  # when the check of the reload began that is not over yet
        self._refusal = ""
        self._expected_by = time.monotonic() + settings.supervise.start_timeout
        self._started = self._said_ready = self._said_late = self._said_stopping = False

    # -- the loop --------------------------------------------------------------------------------------------------

    def tick(self, now: float | None = None) -> None:
        """Supervisor calls this once in each turn of its loop, about once a second."""
        super().tick(now)
        self._notifier.alive()
        turn = time.monotonic() - self._turned
        self._turned += turn
        pids = {process.config.name: process.pid for process in self.daemons() if process.pid}
        beats = heartbeat.read(self.settings.app.run_dir)
        self._sights = look(self._sights, beats, pids, turn, self._can_write)
        if self.options.mood < SupervisorStates.RUNNING:
            self._say_stopping()
        else:
            self._take_signals()
            self._finish_check()
            self._care.turn(self.daemons(), self._sights, self.settings, turn)
            self._exchange.turn(self._sights, self.settings)
        self._tell(self._standings())

    def ordered_stop_groups_phase_1(self) -> None:
        """Stops all groups of one priority at once: workers drain side by side, not one after the other."""
        waiting = self.stop_groups or []
        for group in waiting:
            if group.config.priority == waiting[-1].config.priority:
                group.stop_all()

    def daemons(self) -> list[DaemonProcess]:
        """The processes of the programs that Warren rendered."""
        return [process for process in self._processes() if isinstance(process, DaemonProcess)]

    def _take_signals(self) -> None:
        received = self.options.own_signals.get_signal()
        if received == signal.SIGUSR1:
            states = [_state(each) for each in self._processes()]
            get().info(Event.STATE_DUMPED, programs=states, leaving=self._exchange.leaving)
        elif received == signal.SIGHUP:
            if self._started:
                self._notifier.reloading()
            self._refusing(self._reload.begin)

    # -- reload ----------------------------------------------------------------------------------------------------

    def _finish_check(self) -> None:
        old = self.settings
        changes = self._refusing(lambda: self._reload.poll(self))
        if changes is None:
            return
        self.settings = changes.settings
        self._refusal = ""
        self._exchange.begin(old, changes, self.options.process_group_configs)
        self._expected_by = time.monotonic() + changes.settings.supervise.start_timeout
        self._reloading = changes.begun
        self._said_ready = self._said_late = False
        get().info(Event.RELOADED, **changes.names())

    def _refusing(self, step: Callable[[], Changes | None]) -> Changes | None:
        begun = self._reload.begun
        try:
            return step()
        except WarrenError as error:
            problems = [str(problem) for problem in getattr(error, "problems", (error,))]
            for problem in problems:
                get().error(Event.RELOAD_REFUSED, problem=problem)
            self._refusal = first_problem(error)
            self._end_reload(Outcome(begun, "refused", problems, int(error.exit_code)))
        except Exception as error:  # noqa: BLE001 - the daemons at work are worth more than the new settings
            get().exception(Event.RELOAD_REFUSED, problem="an error that Warren did not foresee")
            self._refusal = f"{type(error).__name__}: {error}"
            self._end_reload(Outcome(begun, "refused", [self._refusal], int(ExitCode.SOFTWARE)))
        return None

    def _end_reload(self, outcome: Outcome) -> None:
        self._programs.note(outcome)
        if self._started and not self._reload.going_on and self._reloading in (None, outcome.begun):
            self._notifier.ready(self._summary(self._standings()))

    # -- what is said ----------------------------------------------------------------------------------------------

    def _tell(self, standings: list[Standing]) -> None:
        if self._state != "stopping":
            self._say_ready(standings)
        summary = self._summary(standings)
        self._notifier.status(summary)
        if self._state != "running":
            self._notifier.extend()
        try:
            self._programs.write(self._state, summary, standings)
            self._can_write = True
        except OSError as error:
            if self._can_write:
                reason = f"{error.filename}: expected to write how the programs stand, found: {error.strerror}"
                get().error(Event.CANNOT_WRITE, reason=reason, consequence="no heart is judged until it works")
            self._can_write = False

    def _say_ready(self, standings: list[Standing]) -> None:
        if self._said_ready:
            return
        expected = [standing for standing in standings if standing.expected]
        if self._exchange.done and not self._exchange.failure and all_ready(expected):
            self._said_ready = True
            get().info(Event.READY, programs=[standing.program for standing in expected])
            self._settle(standings, Outcome(self._reloading or 0.0, "applied"))
            return
        if not self._exchange.done:  # workers change one after the other, each with a time limit of its own
            self._expected_by = time.monotonic() + self.settings.supervise.start_timeout
        late = [standing for standing in expected if not standing.ready]
        failure = self._exchange.failure
        if (failure or time.monotonic() > self._expected_by) and not self._said_late:
            self._said_late = True
            names = {standing.program for standing in late}
            states = [_state(each) for each in self.daemons() if each.config.name in names]
            get().error(Event.NOT_READY, programs=states, reason=failure)
            # systemd hears READY all the same: a start that fails would be tried again for ever, and no restart brings back a
            # broker or mends a program. STATUS says what is not ready, and those that are do their work.
            problems = [f"{each.program}: expected it ready, found {each.heart or each.state}" for each in late]
            word, said = ("failed", [failure]) if failure else ("late", problems)
            self._settle(standings, Outcome(self._reloading or 0.0, word, said, int(ExitCode.FAILURE)))

    def _settle(self, standings: list[Standing], outcome: Outcome) -> None:
        """The start, or the reload that is going on, has come to its end."""
        reloading, self._reloading = self._reloading, None
        first, self._started = not self._started, True
        if reloading is not None:
            self._end_reload(outcome)
        elif first:
            self._notifier.ready(self._summary(standings))

    def _say_stopping(self) -> None:
        if not self._said_stopping:
            self._said_stopping = True
            restart = self.options.mood == SupervisorStates.RESTARTING
            get().info(Event.STOPPING, reason="asked to start anew" if restart else "asked to stop")
            self._notifier.stopping(self._summary(self._standings()))

    # -- how it stands ---------------------------------------------------------------------------------------------

    @property
    def _state(self) -> str:
        if self.options.mood < SupervisorStates.RUNNING:
            return "stopping"
        if not self._started:
            return "starting"
        return "reloading" if self._reload.going_on or self._reloading is not None else "running"

    def _summary(self, standings: list[Standing]) -> str:
        return summary(self._state, standings, len(self.settings.quotas), self._refusal)

    def _standings(self) -> list[Standing]:
        return [self._standing(process) for process in self._processes()]

    def _standing(self, process: Any) -> Standing:
        name, state = process.config.name, state_of(process)
        if not isinstance(process, DaemonProcess):  # an operator's own program has no heart
            started = state == "RUNNING"
            return Standing(name, state, process.pid or None, 0.0, started, False, 0, process.spawnerr or "", "", False)
        sight = self._sights.get(name)
        ready = state == "RUNNING" and at_work(sight, self.settings)
        return Standing(
            name,
            state,
            process.pid or None,
            process.since,
            ready,
            process.held and not ready,  # one that works again is let go once it has proven that; until then it is at work
            max(0, process.starts - 1),
            process.trouble,
            sight.state if sight else "",
            not process.administrative_stop,
        )

    def _processes(self) -> list[Any]:
        return [process for group in self.process_groups.values() for process in group.processes.values()]


def _state(process: Any) -> dict[str, object]:
    return {
        "program": process.config.name,
        "state": state_of(process),
        "pid": process.pid or None,
        "backoff": process.backoff,
        "exit_status": process.exitstatus,
        "trouble": process.trouble if isinstance(process, DaemonProcess) else process.spawnerr,
    }
