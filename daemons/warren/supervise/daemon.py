"""`warren supervise`: supervisord in this process, with the programs that the INI files ask for."""

from __future__ import annotations

import os
from pathlib import Path

from supervisor.medusa import asyncore_25 as asyncore
from supervisor.states import SupervisorStates

from warren import log
from warren.config import Settings
from warren.errors import CannotWrite, ExitCode
from warren.events import Event
from warren.supervise import programs
from warren.supervise.check import PATIENCE, check
from warren.supervise.folders import make_folders, note_run_dir, sole, write_programs
from warren.supervise.journal import journal
from warren.supervise.notify import Notifier
from warren.supervise.options import Options
from warren.supervise.render import MAIN, expansions, programs_folder, render
from warren.supervise.suite import Suite


def start(settings: Settings, notifier: Notifier) -> ExitCode:
    """Runs the suite until it is told to stop, and tells systemd how it is; returns the exit code.

    Raises ConfigError, CannotWrite, or AlreadyRunning when another supervisord has the run folder.
    """
    os.umask(0o027)  # the capture files are no more public than the logs
    notifier.extend(PATIENCE)
    check(settings.folder, settings.host)
    make_folders(settings)
    with sole(settings.app.run_dir):
        log.configure("supervisord", "supervisord", settings.host, settings.app.log_dir, settings.log.level, journal())
        note_run_dir(settings)
        folder = programs_folder(settings.app.run_dir)
        write_programs(folder, render(settings))
        return _run(Options(_configfile(settings), expansions(settings), folder), settings, notifier)


def _configfile(settings: Settings) -> Path:
    """The operator's supervisord.conf; a settings folder without one gets what Warren ships."""
    own = settings.folder / "supervisord.conf"
    if own.exists():
        return own
    path = settings.app.run_dir / "supervisord.conf"
    try:
        path.write_text(MAIN, encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{path}: expected to write supervisord's configuration, found: {error.strerror}") from error
    return path


def _run(options: Options, settings: Settings, notifier: Notifier) -> ExitCode:
    logger = log.get()
    logger.info(Event.STARTED, config=str(settings.folder))
    try:
        Suite(options, settings, notifier).main()
    except asyncore.ExitNow:  # how supervisord says that every program has ended
        pass
    except Exception:
        logger.exception(Event.CRASHED)
        raise
    finally:
        options.close_httpservers()
        programs.remove(settings.app.run_dir)
    code = ExitCode.RESTART if options.mood == SupervisorStates.RESTARTING else ExitCode.OK
    logger.info(Event.STOPPED, exit_code=int(code))
    notifier.status("stopped")  # what `systemctl status` goes on showing
    return code
