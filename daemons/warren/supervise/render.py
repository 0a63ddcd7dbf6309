"""Settings to the text of supervisor's configuration. Pure: another file writes it."""

from __future__ import annotations

import glob
import math
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from warren.closed_folder import UMASK
from warren.config import Settings
from warren.errors import FINAL

#: supervisord's own configuration; the same text ships as supervisord.conf in the settings folder, where it may be edited.
MAIN = """\
; supervisord as `warren supervise` runs it. Every daemon's program is rendered from the INI files into the run folder:
; add a worker there, not here. Programs of your own, or an HTTP server of supervisord, go into supervisor.d/NAME.conf.
; The words %(warren_...)s are filled in by `warren supervise`.

[supervisord]
nodaemon = true
identifier = warren
logfile = %(warren_log_dir)s/supervisord.log
loglevel = %(warren_log_level)s
pidfile = %(warren_run_dir)s/supervisord.pid
childlogdir = %(warren_log_dir)s
; every capture file has a fixed name, so there is nothing to clean up in the log folder at the start
nocleanup = true

[unix_http_server]
file = %(warren_run_dir)s/supervisor.sock
; whoever may connect may start and stop programs
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = %(warren_programs)s %(warren_additions)s
"""

#: Seconds that a daemon without tasks gets to end, and a worker on top of its stop_timeout to hand back the rest.
STOP_MARGIN = 10
#: A daemon that lives this many seconds counts as running; one that ends sooner is started again ever more slowly.
START_SECONDS = 2

# Started in this order and stopped in the opposite one: nothing new is sent to workers that are stopping, and the
# watchdog is there as long as anybody may hold a slot.
_WATCHDOG, _WORKER, _BEAT = 100, 200, 300


@dataclass(frozen=True)
class Daemon:
    """One program of the suite: its name, the words after `warren`, its place in the order, its seconds to stop."""

    program: str
    verb: tuple[str, ...]
    priority: int
    stop_wait: int


def daemons(settings: Settings) -> list[Daemon]:
    """What this host runs, in the order of starting."""
    found = []
    if settings.watchdog.enabled:
        found.append(Daemon("quota-watchdog", ("quota-watchdog",), _WATCHDOG, STOP_MARGIN))
    for name, worker in settings.workers.items():
        if worker.enabled:
            # Nesting: stop_timeout < stopwaitsecs < systemd's TimeoutStopSec. A SIGKILL that came before the worker has
            # handed back its tasks would leave them to the broker's redelivery.
            wait = math.ceil(worker.stop_timeout) + STOP_MARGIN
            found.append(Daemon(f"worker-{name}", ("worker", name), _WORKER, wait))
    if settings.beat.enabled:
        found.append(Daemon("beat", ("beat",), _BEAT, STOP_MARGIN))
    return found


def workers(settings: Settings) -> list[Daemon]:
    """The workers that this host runs, in the order in which they are restarted."""
    return [daemon for daemon in daemons(settings) if daemon.program.startswith("worker-")]


def render(settings: Settings) -> dict[str, str]:
    """Name and text of each file of the run folder's supervisor/: one a program."""
    return {f"{daemon.program}.conf": _text(daemon, settings) for daemon in daemons(settings)}


def expansions(settings: Settings) -> dict[str, str]:
    """What the words %(warren_...)s stand for. Paths come in here, after parsing: no character in them is special."""
    app = settings.app
    return {
        "warren_run_dir": str(app.run_dir),
        "warren_log_dir": str(app.log_dir),
        "warren_state_dir": str(app.state_dir),
        "warren_capture_dir": _percent(str(app.log_dir)),  # supervisor expands the names of capture files twice
        "warren_log_level": settings.log.level.replace("warning", "warn"),
        "warren_programs": _pattern(programs_folder(app.run_dir)),
        "warren_additions": _pattern(settings.folder / "supervisor.d"),
    }


def programs_folder(run_dir: Path) -> Path:
    return run_dir / "supervisor"


def _text(daemon: Daemon, settings: Settings) -> str:
    options = "".join(f"{name} = {value}\n" for name, value in _options(daemon, settings).items())
    return (
        f"; written by `warren supervise` from {settings.folder}: edit the INI files there\n[program:{daemon.program}]\n{options}"
    )


def _options(daemon: Daemon, settings: Settings) -> dict[str, str]:
    # -P: the folder in which somebody happened to type the command is not a place to import tasks from.
    words = [sys.executable, "-P", "-m", "warren", "--config", str(settings.folder), "--host", settings.host, *daemon.verb]
    return {
        "command": " ".join(_quoted(word) for word in words),
        "directory": "%(warren_state_dir)s",
        "umask": f"{UMASK:03o}",
        "environment": 'PYTHONUNBUFFERED="1",PYTHONFAULTHANDLER="1"',
        "priority": str(daemon.priority),
        "autostart": "true",
        "autorestart": "unexpected",
        "exitcodes": ",".join(str(int(code)) for code in FINAL),
        "startsecs": str(START_SECONDS),
        # In effect for ever, one second more between any two (see process.py): what a crash needs may come back.
        "startretries": "1000000",
        "stopsignal": "TERM",
        "stopwaitsecs": str(daemon.stop_wait),
        # TERM goes to the worker alone: its children reset SIGTERM and would drop their tasks. KILL goes to all of
        # them, so that none is left to call with nobody to account for it.
        "stopasgroup": "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"%(warren_capture_dir)s/{daemon.program}.out",
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "3",
    }


def _quoted(word: str) -> str:
    """One word for supervisor's parser and then for shlex: neither a blank before # or ; nor a percent sign counts."""
    return _percent(shlex.quote(word).replace(" ", "'' ''"))


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _pattern(folder: Path) -> str:
    """Matches the folder's *.conf. Supervisor splits at blanks whatever it is told to include."""
    return "".join("?" if character.isspace() else character for character in f"{glob.escape(os.fspath(folder))}/*.conf")
