"""The reload of a running suite: it observes the programs, asks the state what to do, and acts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from warren.config import Settings, attempt
from warren.errors import ConfigError, ExitCode, Problem, WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status.activity import Doing
from warren.status.suite_report import ProgramStatus
from warren.supervise.options import Options
from warren.supervise.reload import reload_state, rollout
from warren.supervise.reload.apply import Differences, apply
from warren.supervise.reload.check import Check, begin_check
from warren.supervise.reload.progress_text import doing
from warren.supervise.reload.reload_state import Checking, State
from warren.supervise.reload.rollout import Moment
from warren.supervise.reload.suite_programs import Programs
from warren.supervise.status.reporter import StatusReporter
from warren.supervise.status.sd_notify import first_problem


class ReloadSteps:
    """At most one reload at a time. A request during a check leads to a second check.

    settings: the settings in force. differences: compares the groups that run with the groups that
    supervisord has read last.
    """

    def __init__(
        self,
        settings: Settings,
        programs: Programs,
        options: Options,
        reports: StatusReporter,
        differences: Differences,
        state: State,
    ) -> None:
        self.settings = settings
        self.state = state
        self._programs = programs
        self._options = options
        self._reports = reports
        self._differences = differences
        # The settings that are being checked, and the problems that are known already.
        self._read: tuple[Settings | None, list[Problem]] = (None, [])
        self._check: Check | None = None

    @property
    def busy(self) -> set[str]:
        """Return the groups that do not match the settings yet."""
        return self._rollout.busy

    @property
    def leaving(self) -> list[str]:
        """Return the names of the groups that are being stopped."""
        return sorted(self._rollout.leaving)

    @property
    def over(self) -> bool:
        """Return whether no reload checks settings or changes programs."""
        return not isinstance(self.state, Checking) and self._rollout.done

    @property
    def _rollout(self) -> rollout.Rollout:
        return reload_state.settled(self.state).rollout

    def doing(self) -> Doing | None:
        """Return the activity for a command that waits; None when no reload is running."""
        return doing(self.state, self._programs.observe(), self.settings)

    def ask(self) -> None:
        """Begin a reload, in parallel with supervisord's loop."""
        self._enter(*reload_state.asked(self.state, Moment()))

    def finish_check(self) -> None:
        """Put new settings in force when their check has ended well; called in each tick."""
        if not isinstance(self.state, Checking):
            return
        try:
            if self._check is not None and not self._check.poll():
                return
            read, problems = self._read
            if read is None or problems:
                raise ConfigError(problems)
            changes = apply(read, self.settings, self._options, self._differences)
        # The daemons that run must not end because of the new settings.
        except Exception as error:  # noqa: BLE001
            self._refuse(error)
            return
        old, self.settings = self.settings, changes.settings
        daemons, groups = self._programs.observe(), self._options.process_group_configs
        begun, actions = rollout.begin(self._rollout, old, changes, groups, daemons, Moment())
        timeout = self.settings.supervise.start_timeout
        self._enter(*reload_state.accepted(self.state, begun, timeout, Moment()))
        logger().info(Event.RELOADED, **changes.names())
        self._act(actions)

    def advance(self, wait: bool) -> None:
        """Change the programs a little further. Called in each tick.

        wait: whether a rolling restart has a worker down now.
        """
        for name, group in self._rollout.leaving.items():
            if self._programs.replace(name, group):
                gone = rollout.left(self._rollout, name)
                self.state = reload_state.with_rollout(self.state, gone)
        found, actions = rollout.advance(
            self._rollout, self._programs.observe(), self.settings, Moment(), wait
        )
        self.state = reload_state.with_rollout(self.state, found)
        self._act(actions)

    def judge(self, programs: Sequence[ProgramStatus]) -> None:
        """Find out whether the start or the reload has ended; called in each tick."""
        timeout = self.settings.supervise.start_timeout
        self._enter(*reload_state.judged(self.state, programs, timeout, Moment()))

    def stop(self) -> None:
        """End the reload without an outcome, because the suite stops."""
        self.state = reload_state.stopped(self.state)

    def _act(self, actions: Iterable[rollout.Action]) -> None:
        for action in actions:
            if isinstance(action, rollout.Signal):
                self._programs.signal(action.program)
            elif isinstance(action, rollout.Start):
                self._programs.start(action.program)
            else:
                self._programs.add(action.group)

    def _enter(self, state: State, actions: Iterable[reload_state.Action]) -> None:
        self.state = state
        for action in actions:
            if isinstance(action, reload_state.Check):
                self._begin_check()
            elif isinstance(action, reload_state.Reloading):
                self._reports.reload_asked()
            elif isinstance(action, reload_state.Ended):
                self._reports.ended(action.outcome, action.announce)
            elif isinstance(action, reload_state.Ready):
                self._reports.ready(action.programs, action.first)
            else:
                self._reports.late(action.programs, action.reason)

    def _begin_check(self) -> None:
        self._check = None
        try:
            self._read = read, _ = attempt(self.settings.directory, self.settings.host)
            if read is not None:  # otherwise a file could not be read, which `finish_check` reports
                self._check = begin_check(read, self._options.pidhistory)
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        if not isinstance(self.state, Checking):
            return
        if isinstance(error, WarrenError):
            problems = [str(problem) for problem in getattr(error, "problems", (error,))]
            for problem in problems:
                logger().error(Event.RELOAD_REFUSED, problem=problem)
            first, code = first_problem(error), int(error.exit_code)
        else:
            unforeseen = "an error that Warren did not foresee"
            logger().exception(Event.RELOAD_REFUSED, problem=unforeseen)
            first = f"{type(error).__name__}: {error}"
            problems, code = [first], int(ExitCode.SOFTWARE)
        self._enter(*reload_state.refused(self.state, problems, first, code, Moment()))
