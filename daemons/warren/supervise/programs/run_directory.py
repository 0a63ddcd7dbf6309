"""The guard of the run directory: any task may remove, replace or damage its files."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from warren.config import accepted_settings
from warren.errors import WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.supervise.programs import supervisor_files
from warren.supervise.programs.directories import make_directories, open_up
from warren.system.obstacles import MARK
from warren.system.private_directory import make_closed
from warren.system.regular_file import clear_path
from warren.system.run_lock import Lock

#: Largest size in bytes of a pid file that is read.
_LONGEST_PID = 32


class RunDirectory:
    """The run directory of one supervisord that holds its lock."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._accepted = accepted_settings.Keeper()
        self._last_error = ""  # the last error of the tick before
        self._logged = ""  # the last error in the log
        self._whole = True  # False: the directory was moved away while it was being made
        # Device, inode and mode under the socket's path when the socket was opened.
        self._socket: tuple[int, int, int] | None = None

    def step(self, suite: Any) -> None:
        """Make again what is missing or damaged. Called in each tick: one look costs microseconds.

        Raises nothing. The directory may be moved or removed between a look and the next step: the
        next tick then finds it missing, and makes it. Only an error of two ticks in a row is
        logged.
        """
        last_error = ""
        try:
            self._keep(suite)
        except (WarrenError, OSError) as error:
            last_error = str(error)
        if last_error and self._last_error and last_error != self._logged:
            self._logged = last_error
            logger().error(Event.RUN_DIRECTORY_LOST, reason=last_error)
        elif not last_error:
            self._logged = ""
        self._last_error = last_error

    def _keep(self, suite: Any) -> None:
        run_dir = suite.settings.app.run_dir
        open_up(run_dir)
        if self._lock.lost or not self._whole:
            self._take_again(suite)
        elif cleared := _tidy(run_dir):
            _emptied(", ".join(map(str, cleared)))
        if not self._lock.lost:
            if self._accepted.step(suite.settings):
                _emptied(str(run_dir / accepted_settings.NAME))
            self._serve(suite)

    def _take_again(self, suite: Any) -> None:
        self._whole = False
        make_directories(suite.settings)
        if self._lock.lost:
            clear_path(self._lock.path)
            # Before any write, because the lock says whether the files are this suite's: another
            # suite may have started here meanwhile.
            self._lock.renew()
        _tidy(suite.settings.app.run_dir)
        supervisor_files.place(suite.settings)
        self._open(suite)
        _emptied(str(self._lock.path))
        self._whole = True

    # -- socket and pid file -----------------------------------------------------------------------

    def _serve(self, suite: Any) -> None:
        """Open the socket again if its path leads to another file; correct the pid file."""
        path = _socket(suite.options)
        if path is not None:
            mark = _mark(path)
            self._socket = self._socket or mark  # in the first tick: the socket of supervisord
            if mark is None or mark != self._socket:  # also None: removed as soon as it was opened
                self._open(suite)
                _emptied(str(path))
        pidfile = Path(suite.options.pidfile)
        if not _names_us(pidfile):
            clear_path(pidfile)
            suite.options.write_pidfile()
            _emptied(str(pidfile))

    def _open(self, suite: Any) -> None:
        options = suite.options
        path = _socket(options)
        if path is not None:
            clear_path(path)  # removes the socket itself, too: no client can reach it
        options.close_httpservers()
        options.openhttpservers(suite)
        self._socket = _mark(path) if path is not None else None


def _tidy(run_dir: Path) -> list[Path]:
    """Move or remove what has the name of one of the suite's files; return those paths."""
    found = []
    for directory in (run_dir, run_dir / "heartbeats", run_dir / "supervisor"):
        clear_path(directory, stat.S_ISDIR)
        make_closed(directory)
        open_up(directory)
        with os.scandir(directory) as entries:
            wrong = [
                Path(entry.path) for entry in entries if _is_wrong(entry, directory == run_dir)
            ]
        for path in wrong:
            clear_path(path, lambda mode: False)
        found += wrong
    return found


def _is_wrong(entry: os.DirEntry[str], top: bool) -> bool:
    if entry.is_dir(follow_symlinks=False):
        if MARK in entry.name:  # an earlier tick has renamed it
            return False
        return not top or Path(entry.name).suffix in (".json", ".new", ".lock", ".pid")
    if entry.is_file(follow_symlinks=False):
        return top and entry.name in ("heartbeats", "supervisor")
    # A link leads out of the directory, and a process that opens a fifo waits for ever. `_serve`
    # handles sockets.
    return not (top and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode))


def _socket(options: Any) -> Path | None:
    """Return the path of supervisord's socket; an operator's own supervisord.conf may have none."""
    return next(
        (Path(config["file"]) for config in options.server_configs if "file" in config), None
    )


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode


def _names_us(pidfile: Path) -> bool:
    """Return whether the pid file names this process."""
    with suppress(OSError):
        found = pidfile.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= _LONGEST_PID:
            return pidfile.read_bytes() == b"%d\n" % os.getpid()
    return False


def _emptied(path: str) -> None:
    logger().warning(Event.RUN_DIRECTORY_RESTORED, path=path)
