"""The rolling restart: the suite restarts its workers one after the other.

At any moment all workers but one take messages. The command that asked for the restart only
watches, so a terminal that is closed meanwhile leaves no worker stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from supervisor.states import ProcessStates

from warren.errors import ExitCode
from warren.status.activity import Doing
from warren.status.condition import Condition
from warren.status.status_file import now
from warren.status.suite_report import Restarted
from warren.supervise.liveness.hung import is_starting
from warren.supervise.liveness.observe import Observation
from warren.supervise.liveness.readiness import at_work
from warren.supervise.programs.cancelled import forget_cancelled
from warren.supervise.reload.check import Check
from warren.supervise.reload.progress_text import activity

#: Seconds after which a worker that is still connecting counts as without a broker.
_AWAY = 15.0
#: Seconds without a heartbeat after which a start counts as without progress.
_PROGRESS = 5.0


@dataclass
class _Step:
    """One worker that is being restarted.

    It must be at work again `by` (seconds of CLOCK_MONOTONIC). `asked` says whether it was asked to
    restart.
    """

    program: str
    pid: int
    by: float
    since: float = field(default_factory=now)
    asked: bool = False


class RollingRestart:
    """At most one rolling restart at a time; workers that are asked for meanwhile join its end."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite
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

        The name is the second of CLOCK_BOOTTIME at which the restart began. `check` is a check of
        the settings and task modules: when they are wrong, no worker is touched.
        """
        if not self.running:
            self.begun, self._done = now(), []
        self._check = check
        self._pending += [program for program in programs if program not in self._pending]
        return self.begun

    def step(self, observations: Mapping[str, Observation], free: bool) -> Restarted | None:
        """Take one step, in each tick of supervisord's loop; return the outcome when there is one.

        `free` says that no reload is changing a worker now.
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
        if self._step is None and free and self._pending:
            self._next()
        if self._step is None:
            return None if self._pending else self._end()
        self._ask(self._step, observations)
        problem = self._problem(self._step, observations)
        if problem:
            untouched = f"; not touched: {', '.join(self._pending)}" if self._pending else ""
            return self._end([f"{problem}{untouched}"])
        if not self._finished(self._step, observations):
            return None
        self._done.append(self._step.program)
        self._step = None
        return None if self._pending else self._end()

    def doing(self, observations: Mapping[str, Observation]) -> Doing | None:
        """Return the activity for a command that waits; None when no restart is running."""
        if self._check is not None:
            return Doing(
                "checking the settings and the task modules", self.begun, tuple(self._pending)
            )
        if self._step is None:
            return (
                Doing("waiting for the reload to end", self.begun, tuple(self._pending))
                if self._pending
                else None
            )
        doing = activity(self._worker(self._step.program), observations.get(self._step.program))
        return Doing(
            f"restarting {self._step.program}{doing}", self._step.since, tuple(self._pending)
        )

    def _next(self) -> None:
        name = self._pending.pop(0)
        process = self._worker(name)
        if process is None:  # a reload has removed the worker
            return
        supervise = self._suite.settings.supervise
        timeout = (
            process.config.stopwaitsecs + supervise.start_timeout + supervise.heartbeat_timeout
        )
        self._step = _Step(name, process.pid, time.monotonic() + timeout)

    def _ask(self, step: _Step, observations: Mapping[str, Observation]) -> None:
        """Have the worker stop and start again, once.

        Wait for a worker that is starting now: it may have read older code.
        """
        process = self._worker(step.program)
        if step.asked or process is None:
            return
        observation = observations.get(step.program)
        forget = partial(
            forget_cancelled,
            self._suite.settings,
            step.program,
            "an operator has restarted the worker",
        )
        if (
            process.state == ProcessStates.RUNNING
            and observation is not None
            and observation.heartbeat is not None
        ):
            step.asked, step.pid = True, process.pid
            # as it has ended: until then remote control may cancel another queue
            process.restart(forget)
        elif not process.pid:
            forget()
            step.asked = True
            process.start_now()

    def _finished(self, step: _Step, observations: Mapping[str, Observation]) -> bool:
        process, observation = self._worker(step.program), observations.get(step.program)
        if process is None:
            return True
        # RUNNING as well: a worker that has consumed for less than 2 s does not look ready to
        # anybody.
        if (
            not step.asked
            or observation is None
            or observation.pid == step.pid
            or process.state != ProcessStates.RUNNING
        ):
            return False
        if Condition.of_heartbeat(observation.state).ready:
            return True
        # With the broker away from every worker, no restart leaves the queues without a consumer,
        # and no restart brings the broker back.
        looking = (
            observation.heartbeat is not None
            and observation.state == "connecting"
            and now() - observation.heartbeat.since > _AWAY
        )
        others = [
            each
            for name, each in observations.items()
            if name.startswith("worker-") and name != step.program
        ]
        return looking and not any(at_work(each, self._suite.settings) for each in others)

    def _problem(self, step: _Step, observations: Mapping[str, Observation]) -> str:
        process, observation = self._worker(step.program), observations.get(step.program)
        if process is None:
            return ""
        if (
            observation is not None
            and observation.pid != step.pid
            and is_starting(observation)
            and observation.silence < _PROGRESS
        ):
            # Wait for a start that is slow but makes progress (imports, children).
            step.by = max(step.by, time.monotonic() + self._suite.settings.supervise.start_timeout)
        gave_up = step.asked and process.gave_up
        if not gave_up and time.monotonic() <= step.by:
            return ""
        found = (
            process.last_error or (observation.state if observation else "") or "no heartbeat yet"
        )
        return (
            f"{step.program} did not come back in time: {found}; it is tried on; see "
            f"{process.config.stdout_logfile}"
        )

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

    def _worker(self, name: str) -> Any:
        return next(
            (process for process in self._suite.daemons() if process.config.name == name), None
        )


def checking(suite: Any) -> Check:
    """Return a check of the settings that workers will start with, and of the code as it is now.

    The check runs in parallel with supervisord's loop.
    """
    check = Check(suite.settings)
    suite.options.pidhistory[check.pid] = check
    return check
