"""The status reports of the suite: to systemd, in programs.json, and in the log.

The reports to systemd and in programs.json are written in each tick of the loop, the log when
something changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from warren.logs.events import Event
from warren.logs.setup import logger
from warren.status.activity import Doing
from warren.status.programs_file import ProgramsWriter
from warren.status.suite_report import Outcome, ProgramStatus, Restarted
from warren.supervise.status import terminal
from warren.supervise.status.sd_notify import Notifier
from warren.supervise.status.summary import summary


@dataclass(frozen=True)
class View:
    """The state of the suite in one tick of its loop.

    state: starting, running or reloading. stopping: why the suite stops; empty if it does not stop.
    refusal: why the last reload was refused; empty if it was not refused. doing: more about a
    reload or a rolling restart.
    """

    program_statuses: Sequence[ProgramStatus]
    quotas: int
    state: str
    stopping: str = ""
    refusal: str = ""
    doing: Doing | None = None


class StatusReporter:
    """The status reports of one suite. No call blocks or raises."""

    def __init__(self, run_dir: Path, notifier: Notifier) -> None:
        self._programs = ProgramsWriter(run_dir)
        self._notifier = notifier
        #: Whether programs.json could be written. While it cannot be written, heartbeats cannot be
        #: written either.
        self.can_write = True
        # Whether the end of a start or of a reload is to be announced to systemd in this tick.
        self._announced = False
        self._reported_stopping = False

    def tell(self, view: View) -> None:
        """Report the status, once in each tick."""
        if view.stopping:
            self._report_stopping(view)
        status, state = _summary(view), _state(view)
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
                    consequence="heartbeats are ignored until supervise can write again",
                )
            self.can_write = False

    # -- reload ------------------------------------------------------------------------------------

    def reload_asked(self) -> None:
        """Report that a reload has begun. It first checks the settings."""
        self._notifier.reloading()

    def ended(self, outcome: Outcome | None, announce: bool) -> None:
        """Report the end of the start (None) or of a reload.

        announce: also report it to systemd.
        """
        if outcome is not None:
            self._programs.note(outcome)
        self._announced = self._announced or announce

    def restarted(self, restarted: Restarted) -> None:
        """Report the end of a rolling restart."""
        self._programs.note_restart(restarted)
        logger().info(Event.WORKERS_RESTARTED, programs=restarted.done, problems=restarted.problems)

    # -- ready, late, stopping ---------------------------------------------------------------------

    def ready(self, programs: Sequence[ProgramStatus], first: bool) -> None:
        """Report that every program is ready.

        first: whether this is the first time since the start.
        """
        names = [status.program for status in programs]
        logger().info(Event.READY, programs=names)
        if first:
            terminal.say(f"ready: {', '.join(names)}; stop with Ctrl-C; logs: warren logs -f")

    def late(self, programs: Sequence[ProgramStatus], reason: str) -> None:
        """Report the programs that are not ready in time, or why a reload has failed."""
        statuses = [asdict(status) for status in programs]
        logger().error(Event.NOT_READY, programs=statuses, reason=reason)

    def _report_stopping(self, view: View) -> None:
        if not self._reported_stopping:
            self._reported_stopping = True
            logger().info(Event.STOPPING, reason=view.stopping)
            self._notifier.stopping(_summary(view))


def _state(view: View) -> str:
    return "stopping" if view.stopping else view.state


def _summary(view: View) -> str:
    doing = view.doing.status if view.doing else ""
    return summary(_state(view), view.program_statuses, view.quotas, view.refusal, doing)
