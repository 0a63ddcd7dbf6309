"""Requests to a running suite from another process: a reload, and a rolling restart.

A reload needs only the run directory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from warren.config import Settings
from warren.control import supervisord_client
from warren.errors import Unavailable
from warren.status.programs_file import read
from warren.status.status_file import now
from warren.status.suite_report import Outcome, Report, Restarted
from warren.supervise.programs.directories import noted_run_dir
from warren.system.run_lock import handle_of, holder
from warren.system.users import user_name

#: Seconds. A supervisord may take so long to begin its loop. After so long without a status report
#: it counts as hung.
_TIMEOUT = 30.0
_PAUSE = 0.05


def reload(settings: Settings, heard: Callable[[Report], None] = lambda report: None) -> Outcome:
    """Have the running suite read its settings again; return the outcome.

    The call takes as long as the suite needs: the suite checks the settings in its own sandbox, and
    then workers drain one after the other.

    settings: the new settings. When they name another run directory, the suite in the old directory
    reports this as an error. heard: called with each status report.

    Raises Unavailable when no suite runs, when this user may not signal the suite, or when the
    suite ends or falls silent meanwhile.
    """
    run_dir, noted = settings.app.run_dir, noted_run_dir(settings)
    try:
        if noted != run_dir and holder(run_dir) == 0 and holder(noted) > 0:
            run_dir = noted
        return _followed(run_dir, heard)
    except OSError as error:
        raise Unavailable(
            f"the suite could not be asked: {error.filename or run_dir}: {error.strerror}; "
            f"{_remedy(run_dir)}"
        ) from error


def _followed(run_dir: Path, heard: Callable[[Report], None]) -> Outcome:
    supervisor, handle = _running(run_dir)
    begun = now()
    try:
        signal.pidfd_send_signal(handle, signal.SIGHUP)
    finally:
        os.close(handle)
    while True:
        # The suite is checked before its report: when the suite ends right after its answer, the
        # answer counts.
        alive, reading = holder(run_dir) == supervisor, read(run_dir)
        report = reading.report
        outcomes = (
            [outcome for outcome in report.reloads if outcome.begun >= begun] if report else []
        )
        if outcomes:
            return outcomes[-1]
        if not alive or report is None or report.state == "stopping":
            raise Unavailable(f"the suite has stopped meanwhile; start it again ({run_dir})")
        if reading.silence > _TIMEOUT:
            raise Unavailable(
                f"supervisord hangs: it has reported nothing for {reading.silence:.0f} s "
                f"({run_dir}); see supervisord.log"
            )
        heard(report)
        time.sleep(_PAUSE)


def restart(
    settings: Settings, programs: Sequence[str], heard: Callable[[Report], None]
) -> Restarted:
    """Have the suite restart workers one after the other, and wait for the outcome.

    The suite continues the restart even if this process ends. Raises Unavailable when no suite
    runs, or when the suite ends or falls silent.

    heard: called with each status report.
    """
    begun = supervisord_client.restart_workers(settings, programs)
    run_dir = settings.app.run_dir
    while True:
        reading = read(run_dir)
        report = reading.report
        found = (
            [restarted for restarted in report.restarts if restarted.begun == begun]
            if report
            else []
        )
        if found:
            return found[-1]
        if report is None or report.state == "stopping" or not reading.alive:
            _refuse_unreadable(run_dir)
            raise Unavailable(
                f"{run_dir}: the suite stops, and with it the restart; start the suite again"
            )
        if reading.silence > _TIMEOUT:
            raise Unavailable(
                f"{run_dir}: the suite has been silent for {reading.silence:.0f} s; see "
                "supervisord.log"
            )
        heard(report)
        time.sleep(_PAUSE)


def _running(run_dir: Path) -> tuple[int, int]:
    """Return the number and a handle of the process that holds the lock, once its loop runs.

    Before its loop runs, a SIGHUP would end supervisord. Raises Unavailable when no suite runs, or
    when the loop does not begin in time.
    """
    deadline = time.monotonic() + _TIMEOUT
    while True:
        with suppress(ProcessLookupError):
            pid, handle = handle_of(run_dir)
            if pid == 0:
                how = "start it: warren start, or without systemd warren supervise"
                raise Unavailable(f"the suite is not running; {how} ({run_dir})")
            report = read(run_dir).known
            # The file of an earlier process with the same number is old: a running loop writes the
            # file each second.
            if handle >= 0:
                if report is not None and report.process.pid == pid:
                    return pid, handle
                os.close(handle)
        if time.monotonic() > deadline:
            _refuse_unreadable(run_dir)
            raise Unavailable(f"the suite is still starting, process {pid} ({run_dir}); try again")
        time.sleep(_PAUSE)


def _refuse_unreadable(run_dir: Path) -> None:
    """Raise Unavailable when there is a report that this version cannot read.

    A suite of another version continues to run, and does what it was asked to do.
    """
    reading = read(run_dir)
    if reading.report is None and not reading.missing:
        raise Unavailable(
            f"what the suite reports cannot be read: {reading.last_error}; if the suite is of "
            "another version, stop it and start it again"
        )


def _remedy(run_dir: Path) -> str:
    """Return which users may ask the suite: root, or the suite's user."""
    try:
        owner = run_dir.stat().st_uid
    except OSError:
        owner = 0
    remedy = "run this command as root"
    return f"{remedy} or as {user_name(owner)}" if owner else remedy
