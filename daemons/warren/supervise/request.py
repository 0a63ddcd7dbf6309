"""A running suite, asked to take up new settings: from another process, through the run folder alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from warren.config import Settings
from warren.config.access import user_name
from warren.errors import Unavailable
from warren.run_file import now
from warren.supervise import client
from warren.supervise.folders import noted_run_dir
from warren.supervise.lock import handle_of, holder
from warren.supervise.programs import Outcome, Report, Restarted, read

#: Seconds that a supervisord may take to begin its loop, and seconds without a word after which it counts as hung.
_PATIENCE = 30.0
#: Seconds within which a supervisord whose loop turns has written how its programs stand.
_FRESH = 10.0
_PAUSE = 0.05


def reload(settings: Settings, heard: Callable[[Report], None] = lambda report: None) -> Outcome:
    """Has the running suite read its settings anew; returns what became of it.

    `settings` are the new ones: where they name another run folder, the suite in the old one says what is wrong with that. It
    takes as long as the suite needs: it checks them by itself, in its own sandbox, then workers drain one after the other.
    `heard` is called with each word of it. Raises Unavailable when none runs, when this user may not ask it, or when it ends or
    falls silent meanwhile.
    """
    run_dir, noted = settings.app.run_dir, noted_run_dir(settings)
    try:
        if noted != run_dir and holder(run_dir) == 0 and holder(noted) > 0:
            run_dir = noted
        return _followed(run_dir, heard)
    except OSError as error:
        raise Unavailable(
            f"the suite was not asked: {error.filename or run_dir}: {error.strerror}; {_remedy(run_dir)}"
        ) from error


def _followed(run_dir: Path, heard: Callable[[Report], None]) -> Outcome:
    supervisor, handle = _running(run_dir)
    begun = now()
    try:
        signal.pidfd_send_signal(handle, signal.SIGHUP)
    finally:
        os.close(handle)
    while True:
        # First whether it lives, then what it said: of one that ends right after its answer the answer counts.
        alive, report = holder(run_dir) == supervisor, read(run_dir)
        outcomes = [outcome for outcome in report.reloads if outcome.begun >= begun] if report else []
        if outcomes:
            return outcomes[-1]
        if not alive or report is None or report.state == "stopping":
            raise Unavailable(f"the suite has stopped meanwhile; start it again ({run_dir})")
        if report.age > _PATIENCE:
            raise Unavailable(f"supervisord hangs: it has said nothing for {report.age:.0f} s ({run_dir}); see supervisord.log")
        heard(report)
        time.sleep(_PAUSE)


def restart(settings: Settings, programs: Sequence[str], heard: Callable[[Report], None]) -> Restarted:
    """Has the suite restart workers one after the other, and watches; `heard` is called with each word of it.

    The suite goes on with it whatever becomes of this process. Raises Unavailable when none runs, when it ends or falls silent.
    """
    begun = client.restart_workers(settings, programs)
    run_dir = settings.app.run_dir
    while True:
        report = read(run_dir)
        found = [restarted for restarted in report.restarts if restarted.begun == begun] if report else []
        if found:
            return found[-1]
        if report is None or report.state == "stopping" or not report.process.alive:
            raise Unavailable(f"{run_dir}: the suite stops, and with it the restart; start it again")
        if report.age > _PATIENCE:
            raise Unavailable(f"{run_dir}: the suite has been silent for {report.age:.0f} s; see supervisord.log")
        heard(report)
        time.sleep(_PAUSE)


def _running(run_dir: Path) -> tuple[int, int]:
    """The supervisord that holds the run folder's lock, with a handle of it, once its loop turns: before that, SIGHUP would
    end it.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        with suppress(ProcessLookupError):
            pid, handle = handle_of(run_dir)
            if pid == 0:
                how = "start it: warren start, or without systemd warren supervise"
                raise Unavailable(f"the suite is not running; {how} ({run_dir})")
            report = read(run_dir)
            # What one of the same number left behind is not fresh: the loop writes each second.
            if handle >= 0:
                if report is not None and report.process.pid == pid and report.age < _FRESH:
                    return pid, handle
                os.close(handle)
        if time.monotonic() > deadline:
            raise Unavailable(f"the suite is still starting, process {pid} ({run_dir}); try again")
        time.sleep(_PAUSE)


def _remedy(run_dir: Path) -> str:
    """Who may ask: root, or the user whose suite it is."""
    try:
        owner = run_dir.stat().st_uid
    except OSError:
        owner = 0
    return f"run it as root or as {user_name(owner)}" if owner else "run it as root"
