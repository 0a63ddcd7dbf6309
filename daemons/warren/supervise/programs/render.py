"""The text of supervisor's configuration, made from the settings. Pure: another file writes it."""

from __future__ import annotations

import glob
import math
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from warren.config import Settings
from warren.errors import FINAL
from warren.runtime.own_command import own_command
from warren.system.private_directory import UMASK

#: supervisord's own configuration. The same text ships as supervisord.conf in the settings
#: directory, where an operator may edit it.
MAIN = """\
; The settings of the supervisord that `warren supervise` runs. Every daemon's program is rendered
; from the INI files into the run directory: add a worker there, not here. Programs of your own, or
; an HTTP server of supervisord, go into supervisor.d/NAME.conf. `warren supervise` fills in the
; names %(warren_...)s.

[supervisord]
nodaemon = true
identifier = warren
logfile = %(warren_log_dir)s/supervisord.log
loglevel = %(warren_log_level)s
pidfile = %(warren_run_dir)s/supervisord.pid
childlogdir = %(warren_log_dir)s
; every capture file has a fixed name: nothing needs cleaning up in the log directory at the start
nocleanup = true

[unix_http_server]
file = %(warren_run_dir)s/supervisor.sock
; a user who may connect may start and stop programs
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = %(warren_programs)s %(warren_additions)s
"""

#: Seconds that a daemon without tasks gets to end. A worker gets them on top of its stop_timeout,
#: to requeue its remaining messages.
STOP_MARGIN = 10
#: A daemon that lives this many seconds counts as running. A daemon that ends sooner is started
#: again after ever longer pauses.
START_SECONDS = 2

# The priorities: programs start in this order and stop in the opposite one. So nothing new is sent
# to workers that are stopping, and the quota-watchdog runs as long as any process may hold a slot.
_WATCHDOG, _WORKER, _BEAT, _WEB = 100, 200, 300, 400


@dataclass(frozen=True)
class Daemon:
    """One program of the suite.

    `verb` are the arguments after `warren`, `priority` is the place in the order of starts,
    `stop_wait` is the time in seconds to stop.
    """

    program: str
    verb: tuple[str, ...]
    priority: int
    stop_wait: int


def daemons(settings: Settings) -> list[Daemon]:
    """Return the daemons that this host runs, in the order of their start."""
    found = []
    if settings.watchdog.enabled:
        found.append(Daemon("quota-watchdog", ("quota-watchdog",), _WATCHDOG, STOP_MARGIN))
    for name, worker in settings.workers.items():
        if worker.enabled:
            # The timeouts nest: stop_timeout < stopwaitsecs < systemd's TimeoutStopSec. A SIGKILL
            # that came before the worker has requeued its messages would leave them to the
            # redelivery of the broker.
            wait = math.ceil(worker.stop_timeout) + STOP_MARGIN
            found.append(Daemon(f"worker-{name}", ("worker", name), _WORKER, wait))
    if settings.beat.enabled:
        found.append(Daemon("beat", ("beat",), _BEAT, STOP_MARGIN))
    if settings.web.enabled:
        found.append(Daemon("web", ("web",), _WEB, STOP_MARGIN))
    return found


def workers(settings: Settings) -> list[Daemon]:
    """Return the workers that this host runs, in the order of their restart."""
    return [daemon for daemon in daemons(settings) if daemon.program.startswith("worker-")]


def render(settings: Settings) -> dict[str, str]:
    """Return the name and text of each file in the run directory's supervisor/: one per program."""
    return {f"{daemon.program}.conf": _text(daemon, settings) for daemon in daemons(settings)}


def expansions(settings: Settings) -> dict[str, str]:
    """Return the values of the variables %(warren_...)s.

    Paths enter here, after the parsing, so no character in them is special.
    """
    app = settings.app
    return {
        "warren_run_dir": str(app.run_dir),
        "warren_log_dir": str(app.log_dir),
        "warren_state_dir": str(app.state_dir),
        # supervisor expands the names of capture files twice.
        "warren_capture_dir": _percent(str(app.log_dir)),
        "warren_log_level": settings.log.level.replace("warning", "warn"),
        "warren_programs": _pattern(programs_directory(app.run_dir)),
        "warren_additions": _pattern(settings.directory / "supervisor.d"),
    }


def programs_directory(run_dir: Path) -> Path:
    return run_dir / "supervisor"


def _text(daemon: Daemon, settings: Settings) -> str:
    options = "".join(f"{name} = {value}\n" for name, value in _options(daemon, settings).items())
    head = f"; written by `warren supervise` from {settings.directory}: edit the INI files there\n"
    return f"{head}[program:{daemon.program}]\n{options}"


def _options(daemon: Daemon, settings: Settings) -> dict[str, str]:
    arguments = own_command(settings, *daemon.verb)
    return {
        "command": " ".join(_quoted(argument) for argument in arguments),
        "directory": "%(warren_state_dir)s",
        "umask": f"{UMASK:03o}",
        "environment": 'PYTHONUNBUFFERED="1",PYTHONFAULTHANDLER="1"',
        "priority": str(daemon.priority),
        "autostart": "true",
        "autorestart": "unexpected",
        "exitcodes": ",".join(str(int(code)) for code in FINAL),
        "startsecs": str(START_SECONDS),
        # So many retries have no end in effect. The pause grows by one second each time
        # (daemon_process.py). Whatever the daemon lacks may come back.
        "startretries": "1000000",
        "stopsignal": "TERM",
        "stopwaitsecs": str(daemon.stop_wait),
        # SIGTERM goes to the worker alone: its children reset SIGTERM and would drop their tasks.
        # SIGKILL goes to all of them, so that no child is left that calls a provider unaccounted.
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"%(warren_capture_dir)s/{daemon.program}.out",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


def _quoted(argument: str) -> str:
    """Quote an argument for supervisor's parser and then for shlex.

    A blank before # or ; and a percent sign lose their meaning.
    """
    return _percent(shlex.quote(argument).replace(" ", "'' ''"))


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _pattern(directory: Path) -> str:
    """Return the pattern of the directory's *.conf files.

    Supervisor splits its include list at every blank, so a blank becomes a question mark.
    """
    return "".join(
        "?" if character.isspace() else character
        for character in f"{glob.escape(os.fspath(directory))}/*.conf"
    )
