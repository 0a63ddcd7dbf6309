"""A running suite, asked to take up new settings: from another process, through the run folder alone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from warren.errors import Unavailable
from warren.process import lock_holder, of
from warren.supervise.programs import Outcome, Report, now, read

#: Seconds that a supervisord may take to begin its loop, and seconds without a word after which it counts as hung.
_PATIENCE = 30.0
_PAUSE = 0.05


def reload(run_dir: Path) -> Outcome:
    """Has the suite of this run folder read its settings anew; returns what became of it.

    It takes as long as the suite needs: workers drain one after the other. Raises Unavailable when none runs, or when it ends or
    falls silent meanwhile.
    """
    supervisor = _running(run_dir)
    begun = now()
    os.kill(supervisor.process.pid, signal.SIGHUP)
    while True:
        # First whether it lives, then what it said: of one that ends right after its answer the answer counts.
        alive, report = supervisor.process.alive, read(run_dir)
        outcomes = [outcome for outcome in report.reloads if outcome.begun >= begun] if report else []
        if outcomes:
            return outcomes[-1]
        if not alive or report is None or report.state == "stopping":
            raise Unavailable(f"{run_dir}: expected the suite to take up its settings, found that it stops; start it again")
        if report.age > _PATIENCE:
            raise Unavailable(
                f"{run_dir}: expected a word of the suite, found it silent for {report.age:.0f} s; see supervisord.log"
            )
        time.sleep(_PAUSE)


def _running(run_dir: Path) -> Report:
    """The supervisord that holds the run folder's lock, once its loop turns: before that, SIGHUP would end it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        # The number comes from the kernel, the rest from the file: both must mean the same process.
        pid, report = lock_holder(run_dir / "supervisord.lock"), read(run_dir)
        if pid == 0:
            raise Unavailable(f"{run_dir}: expected a running suite, found none; start it with warren supervise")
        if report is not None and report.process == of(pid):
            return report
        if time.monotonic() > deadline:
            raise Unavailable(f"{run_dir}: expected the suite to be at work, found process {pid} still starting; try again")
        time.sleep(_PAUSE)
