"""Workers restarted one after the other, so that at any moment all but one take messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from warren import heartbeat
from warren.config import Settings
from warren.errors import Unavailable, WarrenError
from warren.heartbeat import AT_WORK
from warren.supervise import client
from warren.supervise.render import Daemon, daemons

#: Seconds that supervisord may take on top of what a daemon has for itself.
_MARGIN = 10.0
_PAUSE = 0.1


def workers(settings: Settings) -> list[Daemon]:
    """The workers that this host runs, in the order in which they are restarted."""
    return [daemon for daemon in daemons(settings) if daemon.program.startswith("worker-")]


def restart(settings: Settings, programs: Sequence[Daemon], done: Callable[[str], None] = lambda program: None) -> None:
    """Restarts each program in order, and the next one when the heart of the one before is ready; `done` hears of each.

    Raises WarrenError at the first that does not come back within its time to stop and start_timeout, and touches none after it;
    Unavailable without a suite.
    """
    for number, program in enumerate(programs):
        try:
            _restart(settings, program)
        except WarrenError as error:
            untouched = ", ".join(each.program for each in programs[number + 1 :])
            raise type(error)(f"{error}; not touched: {untouched}" if untouched else str(error)) from error
        done(program.program)


def _restart(settings: Settings, daemon: Daemon) -> None:
    try:
        client.stop(settings, daemon.program, daemon.stop_wait + _MARGIN)
    finally:  # whatever interrupts this command, it leaves no worker stopped
        client.start(settings, daemon.program, settings.supervise.start_timeout + _MARGIN)
    deadline = time.monotonic() + settings.supervise.start_timeout
    while (state := _heart(settings, daemon.program)) not in AT_WORK:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{daemon.program}: expected it ready within {settings.supervise.start_timeout:g} s of its restart, "
                f"found {state or 'no heart'}; see {settings.app.log_dir / 'worker.log'}"
            )
        time.sleep(_PAUSE)


def _heart(settings: Settings, program: str) -> str:
    """What the heart of the program's current process says; empty before its first beat."""
    pid = next((each.pid for each in client.programs(settings) if each.program == program), None)
    beat = heartbeat.read(settings.app.run_dir, [program]).beats.get(program)
    return beat.state if beat is not None and beat.process.pid == pid else ""
