"""`warren supervise`: supervisord in this process, with the programs that the INI files name."""

from __future__ import annotations

import os

from supervisor.medusa import asyncore_25 as asyncore
from supervisor.states import SupervisorStates

from warren.config import Settings, accepted_settings
from warren.errors import ExitCode
from warren.logs import setup
from warren.logs.events import Event
from warren.quotas import generation
from warren.status import programs_file
from warren.supervise.options import Options
from warren.supervise.programs import supervisor_files
from warren.supervise.programs.directories import make_directories, note_run_dir
from warren.supervise.programs.forget_cancelled import forget_all_cancelled
from warren.supervise.reload.check import TIMEOUT, check
from warren.supervise.status.journal import journal
from warren.supervise.status.sd_notify import Notifier
from warren.supervise.supervisor import SuiteSupervisor
from warren.system.private_directory import UMASK
from warren.system.run_lock import Lock, sole


def start(settings: Settings, notifier: Notifier) -> ExitCode:
    """Run the suite until somebody stops it; return the exit code. Report the status to systemd.

    Raises ConfigError, CannotWrite, or AlreadyRunning when another supervisord uses the run
    directory.
    """
    os.umask(UMASK)  # for the capture files, too: they hold what tasks print, unredacted
    notifier.extend(TIMEOUT)
    check(settings)
    make_directories(settings)
    with sole(settings.app.run_dir) as lock:
        app = settings.app
        setup.configure(
            "supervisord", "supervisord", settings.host, app.log_dir, settings.log.level, journal()
        )
        note_run_dir(settings)
        settings = generation.accepted(settings)
        accepted_settings.write(settings)
        return _run(supervisor_files.read(settings), settings, notifier, lock)


def _run(options: Options, settings: Settings, notifier: Notifier, lock: Lock) -> ExitCode:
    logger = setup.logger()
    logger.info(Event.STARTED, config=str(settings.directory))
    try:
        suite = SuiteSupervisor(options, settings, notifier, lock)
        suite.main()
    except asyncore.ExitNow:  # supervisord raises this when every program has ended
        forget_all_cancelled(suite.settings)
    except Exception:
        logger.exception(Event.CRASHED)
        raise
    finally:
        options.close_httpservers()
        programs_file.remove(settings.app.run_dir)
        accepted_settings.remove(settings.app.run_dir)
    code = ExitCode.RESTART if options.mood == SupervisorStates.RESTARTING else ExitCode.OK
    logger.info(Event.STOPPED, exit_code=int(code))
    notifier.status("stopped")  # `systemctl status` continues to show this line
    return code
