"""The status reports of the suite: to systemd, in programs.json, and in the log.

The first two are written in each tick of the loop, the log when something changes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from warren.errors import ExitCode
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status.activity import Doing
from warren.status.programs_file import ProgramsWriter
from warren.status.suite_report import Outcome, ProgramStatus, Restarted, all_ready
from warren.supervise.status import terminal
from warren.supervise.status.sd_notify import Notifier
from warren.supervise.status.summary import summary


@dataclass(frozen=True)
class View:
    """The state of the suite in one tick of its loop.

    `stopping` says why the suite stops, and `failure` why its programs did not take up new
    settings; both are empty otherwise. `checking`: new settings are being checked. `changing`:
    programs are being changed to new settings. `doing` says more about both, and about a rolling
    restart. `start_timeout` is in seconds.
    """

    program_statuses: Sequence[ProgramStatus]
    quotas: int
    start_timeout: float
    stopping: str = ""
    checking: bool = False
    changing: bool = False
    failure: str = ""
    doing: Doing | None = None


class StatusReporter:
    """The status reports of one suite. No call blocks or raises."""

    def __init__(self, run_dir: Path, notifier: Notifier, start_timeout: float) -> None:
        self._programs = ProgramsWriter(run_dir)
        self._notifier = notifier
        #: Whether programs.json could be written; while it cannot, heartbeats cannot either.
        self.can_write = True
        # When the check of the unfinished reload began.
        self._reloading: float | None = None
        self._refusal = ""
        # Whether the end of a start or of a reload is to be announced to systemd in this tick.
        self._announced = False
        self._expected_by = time.monotonic() + start_timeout
        self._started = self._reported_ready = self._reported_late = self._reported_stopping = False

    def tell(self, view: View) -> None:
        """Report the status, once in each tick."""
        if view.stopping:
            self._report_stopping(view)
        else:
            self._report_ready(view)
        status, state = self._summary(view), self._state(view)
        self._publish(view, state, status)
        # After the file is written: a reader that waits for READY of systemd finds the same status
        # there.
        if self._announced and not view.stopping:
            self._notifier.ready(status)
        self._announced = False
        self._notifier.status(status)
        if state != "running":
            self._notifier.extend()

    def _publish(self, view: View, state: str, status: str) -> None:
        try:
            self._programs.write(state, status, view.program_statuses, view.doing)
            self.can_write = True
        except OSError as error:
            if self.can_write:
                reason = f"cannot write {error.filename}: {error.strerror}"
                logger().error(
                    Event.CANNOT_WRITE,
                    reason=reason,
                    consequence="heartbeats are ignored until it can write again",
                )
            self.can_write = False

    # -- reload ------------------------------------------------------------------------------------

    def reload_asked(self) -> None:
        """Report that a reload has begun. It first checks the new settings."""
        if self._started:
            self._notifier.reloading()

    def reload_taken(self, begun: float, start_timeout: float) -> None:
        """Note that the programs change to the settings whose check began at `begun`
        (CLOCK_BOOTTIME).
        """
        self._reloading, self._refusal = begun, ""
        self._expected_by = time.monotonic() + start_timeout
        self._reported_ready = self._reported_late = False

    def reload_refused(self, outcome: Outcome, refusal: str, view: View) -> None:
        """Report that the new settings are wrong, and that nothing changes."""
        self._refusal = refusal
        self._end_reload(outcome, view)

    def restarted(self, restarted: Restarted) -> None:
        """Report the end of a rolling restart."""
        self._programs.note_restart(restarted)
        logger().info(Event.WORKERS_RESTARTED, programs=restarted.done, problems=restarted.problems)

    def _end_reload(self, outcome: Outcome, view: View) -> None:
        self._programs.note(outcome)
        if self._started and not view.checking and self._reloading in (None, outcome.begun):
            self._announced = True

    # -- ready, late, stopping ---------------------------------------------------------------------

    def _report_ready(self, view: View) -> None:
        if self._reported_ready:
            return
        expected = [status for status in view.program_statuses if status.expected]
        if not view.changing and not view.failure and all_ready(expected):
            self._reported_ready = True
            programs = [status.program for status in expected]
            logger().info(Event.READY, programs=programs)
            if not self._started:
                terminal.say(
                    f"ready: {', '.join(programs)}; stop with Ctrl-C; logs: warren logs -f"
                )
            self._settle(view, Outcome(self._reloading or 0.0, "applied"))
            return
        if view.changing:  # workers change one after the other, each with its own time limit
            self._expected_by = time.monotonic() + view.start_timeout
        if (view.failure or time.monotonic() > self._expected_by) and not self._reported_late:
            self._reported_late = True
            late = [status for status in expected if not status.ready]
            logger().error(
                Event.NOT_READY, programs=[asdict(status) for status in late], reason=view.failure
            )
            # systemd gets READY all the same: systemd would retry a failed start for ever, and no
            # restart brings back a broker or mends a program. STATUS says which programs are not
            # ready, and the others do their work.
            problems = [
                f"{each.program} is not ready: it {each.condition.predicate}" for each in late
            ]
            outcome, problems = ("failed", [view.failure]) if view.failure else ("late", problems)
            self._settle(
                view, Outcome(self._reloading or 0.0, outcome, problems, int(ExitCode.FAILURE))
            )

    def _settle(self, view: View, outcome: Outcome) -> None:
        """Report the end of the start, or of the reload that is running."""
        reloading, self._reloading = self._reloading, None
        first, self._started = not self._started, True
        if reloading is not None:
            self._end_reload(outcome, view)
        elif first:
            self._announced = True

    def _report_stopping(self, view: View) -> None:
        if not self._reported_stopping:
            self._reported_stopping = True
            logger().info(Event.STOPPING, reason=view.stopping)
            self._notifier.stopping(self._summary(view))

    def _state(self, view: View) -> str:
        if view.stopping:
            return "stopping"
        if not self._started:
            return "starting"
        return "reloading" if view.checking or self._reloading is not None else "running"

    def _summary(self, view: View) -> str:
        doing = view.doing.status if view.doing else ""
        return summary(self._state(view), view.program_statuses, view.quotas, self._refusal, doing)
