"""The rolling restart: the suite restarts its workers one after the other.

At any moment all workers but one take messages. The command that asked for the restart only
watches, so a terminal that is closed meanwhile leaves no worker stopped.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from warren.config import Settings
from warren.errors import ExitCode
from warren.status.activity import Doing
from warren.status.condition import Condition
from warren.status.status_file import now
from warren.status.suite_report import Restarted
from warren.supervise.liveness.hung import is_starting
from warren.supervise.reload.check import Check
from warren.supervise.reload.progress_text import activity
from warren.supervise.reload.suite_programs import Daemons, ObservedDaemon, Programs

#: Seconds after which a worker that is still connecting counts as without a broker.
_AWAY = 15.0
#: Seconds without a heartbeat after which a start counts as without progress.
_PROGRESS = 5.0


@dataclass
class _Step:
    """One worker that is being restarted.

    by: when the worker must be at work again (seconds of CLOCK_MONOTONIC). asked: whether it was
    asked to restart.
    """

    program: str
    pid: int
    by: float
    since: float = field(default_factory=now)
    asked: bool = False


class RollingRestart:
    """At most one rolling restart at a time.

    Workers that are asked for during a restart are added to its end.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._check: Check | None = None
        self._pending: list[str] = []
        self._done: list[str] = []
        self._step: _Step | None = None
        self.begun = 0.0

    @property
    def running(self) -> bool:
        """Return whether the restart has not ended yet."""
        return bool(self._check or self._pending or self._step)

    @property
    def stepping(self) -> bool:
        """Return whether a worker is being restarted now."""
        return self._step is not None

    def begin(self, programs: Sequence[str], check: Check) -> float:
        """Put workers in line, in their order; return the name of this restart.

        The name is the time at which the restart began, in seconds of CLOCK_BOOTTIME.

        check: a check of the settings and task modules. When it finds a problem, no worker is
        touched.
        """
        if not self.running:
            self.begun, self._done = now(), []
        self._check = check
        self._pending += [program for program in programs if program not in self._pending]
        return self.begun

    def step(self, settings: Settings, free: bool) -> Restarted | None:
        """Take one step in each tick of supervisord's loop; return the outcome when the restart has
        ended.

        free: whether no reload is changing a worker now.
        """
        if self._check is not None:
            try:
                if not self._check.poll():
                    return None
            # A task module may print anything in place of the verdict.
            except Exception as error:  # noqa: BLE001
                code = int(getattr(error, "exit_code", ExitCode.SOFTWARE))
                return self._end(
                    [str(problem) for problem in getattr(error, "problems", (error,))], code
                )
            self._check = None
        daemons = self._programs.observe()
        if self._step is None and free and self._pending:
            self._next(daemons, settings)
        if self._step is None:
            return None if self._pending else self._end()
        step, daemon = self._step, daemons.get(self._step.program)
        if daemon is not None:  # else a reload has removed the worker
            if self._ask(step, daemon):
                return None  # the next look shows the outcome
            problem = _problem(step, daemon, settings)
            if problem:
                untouched = f"; not touched: {', '.join(self._pending)}" if self._pending else ""
                return self._end([f"{problem}{untouched}"])
            if not _finished(step, daemon, daemons):
                return None
        self._done.append(step.program)
        self._step = None
        return None if self._pending else self._end()

    def doing(self) -> Doing | None:
        """Return the activity for a command that waits; None when no restart is running."""
        then, step = tuple(self._pending), self._step
        if self._check is not None:
            return Doing("checking the settings and the task modules", self.begun, then)
        if step is None:
            return Doing("waiting for the reload to end", self.begun, then) if then else None
        text = activity(self._programs.observe().get(step.program))
        return Doing(f"restarting {step.program}{text}", step.since, then)

    def _next(self, daemons: Daemons, settings: Settings) -> None:
        name = self._pending.pop(0)
        daemon = daemons.get(name)
        if daemon is None:  # a reload has removed the worker
            return
        supervise = settings.supervise
        timeout = daemon.stop_timeout + supervise.start_timeout + supervise.heartbeat_timeout
        self._step = _Step(name, daemon.pid, time.monotonic() + timeout)

    def _ask(self, step: _Step, daemon: ObservedDaemon) -> bool:
        """Have the worker stop and start again, once; return whether this was done now.

        A worker that is starting now is waited for first: it may have read older code.
        """
        if step.asked or (daemon.pid and not daemon.listens):
            return False
        step.asked, step.pid = True, daemon.pid
        self._programs.restart(step.program)
        return True

    def _end(
        self, problems: Sequence[str] = (), code: int = int(ExitCode.UNAVAILABLE)
    ) -> Restarted | None:
        if not self.begun:
            return None
        ended = Restarted(
            self.begun, self._done, list(problems), code if problems else int(ExitCode.OK)
        )
        self._check, self._step, self._pending, self.begun = None, None, [], 0.0
        return ended


def _finished(step: _Step, daemon: ObservedDaemon, daemons: Daemons) -> bool:
    # RUNNING is needed: a worker that has consumed for less than 2 s does not look ready to
    # anybody.
    if not step.asked or daemon.pid in (0, step.pid) or daemon.process != Condition.RUNNING:
        return False
    if daemon.reported.ready:
        return True
    # With the broker away from every worker, no restart leaves the queues without a consumer, and
    # no restart brings the broker back.
    heartbeat = daemon.observation.heartbeat
    looking = (
        daemon.reported == Condition.CONNECTING
        and heartbeat is not None
        and now() - heartbeat.since > _AWAY
    )
    others = [
        each
        for name, each in daemons.items()
        if name.startswith("worker-") and name != step.program
    ]
    return looking and not any(each.reported.ready for each in others)


def _problem(step: _Step, daemon: ObservedDaemon, settings: Settings) -> str:
    observation = daemon.observation
    if (
        daemon.pid not in (0, step.pid)
        and is_starting(observation)
        and observation.silence < _PROGRESS
    ):
        # Wait for a start that is slow but makes progress (imports, children).
        step.by = max(step.by, time.monotonic() + settings.supervise.start_timeout)
    gave_up = step.asked and daemon.gave_up
    if not gave_up and time.monotonic() <= step.by:
        return ""
    found = daemon.last_error or observation.state or "no heartbeat yet"
    return (
        f"{step.program} did not come back in time: {found}; the suite tries to start the worker "
        f"again; see {daemon.capture}"
    )
