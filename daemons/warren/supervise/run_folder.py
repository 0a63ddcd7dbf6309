"""The run folder, kept as the suite needs it: any task may remove, replace or spoil what lies there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from warren.closed_folder import make_closed
from warren.errors import WarrenError
from warren.events import Event
from warren.log import get
from warren.obstacles import MARK
from warren.regular_file import clear_place
from warren.supervise import accepted, files
from warren.supervise.folders import make_folders, open_up
from warren.supervise.lock import Lock

#: Bytes that a pid file may have to be looked at.
_LONGEST_PID = 32


class RunFolder:
    """The run folder of one supervisord that holds its lock."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._accepted = accepted.Keeper()
        self._trouble = ""  # of the turn before
        self._told = ""
        self._whole = True  # else the folder was being made anew when it was moved away again
        self._socket: tuple[int, int, int] | None = None  # device, inode and mode of the socket's name as it was made

    def turn(self, suite: Any) -> None:
        """Makes anew what is missing or spoilt; in each turn of the loop, as a look costs some microseconds.

        Raises nothing. The folder may be moved or removed between a look and what follows it: the next turn then finds it
        missing, and makes it. Only what two turns in a row cannot mend is told.
        """
        trouble = ""
        try:
            self._keep(suite)
        except (WarrenError, OSError) as error:
            trouble = str(error)
        if trouble and self._trouble and trouble != self._told:
            self._told = trouble
            get().error(Event.RUN_FOLDER_LOST, reason=trouble)
        elif not trouble:
            self._told = ""
        self._trouble = trouble

    def _keep(self, suite: Any) -> None:
        run_dir = suite.settings.app.run_dir
        open_up(run_dir)
        if self._lock.lost or not self._whole:
            self._take_again(suite)
        elif cleared := _tidy(run_dir):
            _emptied(", ".join(map(str, cleared)))
        if not self._lock.lost:
            if self._accepted.turn(suite.settings):
                _emptied(str(run_dir / accepted.NAME))
            self._serve(suite)

    def _take_again(self, suite: Any) -> None:
        self._whole = False
        make_folders(suite.settings)
        if self._lock.lost:
            clear_place(self._lock.path)
            # Before anything is written, for it says whether the rest is ours: another suite may have come in since.
            self._lock.renew()
        _tidy(suite.settings.app.run_dir)
        files.place(suite.settings)
        self._open(suite)
        _emptied(str(self._lock.path))
        self._whole = True

    # -- socket and pid file ---------------------------------------------------------------------------------------

    def _serve(self, suite: Any) -> None:
        """Opens the socket anew where its name does not lead to it any more, and writes the pid file where it says another."""
        path = _socket(suite.options)
        if path is not None:
            mark = _mark(path)
            self._socket = self._socket or mark  # the first turn's is the one that supervisord has opened
            if mark is None or mark != self._socket:  # None, too, where it went as soon as it was opened
                self._open(suite)
                _emptied(str(path))
        pidfile = Path(suite.options.pidfile)
        if not _names_us(pidfile):
            clear_place(pidfile)
            suite.options.write_pidfile()
            _emptied(str(pidfile))

    def _open(self, suite: Any) -> None:
        options = suite.options
        path = _socket(options)
        if path is not None:
            clear_place(path)  # also the socket itself: nobody reaches it
        options.close_httpservers()
        options.openhttpservers(suite)
        self._socket = _mark(path) if path is not None else None


def _tidy(run_dir: Path) -> list[Path]:
    """Make way where something else has the name of one of the suite's files or folders; return what that was."""
    found = []
    for folder in (run_dir, run_dir / "heart", run_dir / "supervisor"):
        clear_place(folder, stat.S_ISDIR)
        make_closed(folder)
        open_up(folder)
        with os.scandir(folder) as entries:
            wrong = [Path(entry.path) for entry in entries if _is_wrong(entry, folder == run_dir)]
        for path in wrong:
            clear_place(path, lambda mode: False)
        found += wrong
    return found


def _is_wrong(entry: os.DirEntry[str], top: bool) -> bool:
    if entry.is_dir(follow_symlinks=False):
        if MARK in entry.name:  # renamed by an earlier turn
            return False
        return not top or Path(entry.name).suffix in (".json", ".new", ".lock", ".pid")
    if entry.is_file(follow_symlinks=False):
        return top and entry.name in ("heart", "supervisor")
    # A link leads out of the folder, and a fifo lets whoever opens it wait for ever. Sockets are seen to by `_serve`.
    return not (top and stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode))


def _socket(options: Any) -> Path | None:
    """The socket by which supervisord is asked; an operator's own supervisord.conf may have none."""
    return next((Path(config["file"]) for config in options.server_configs if "file" in config), None)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode


def _names_us(pidfile: Path) -> bool:
    """Whether the pid file names this process."""
    with suppress(OSError):
        found = pidfile.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= _LONGEST_PID:
            return pidfile.read_bytes() == b"%d\n" % os.getpid()
    return False


def _emptied(path: str) -> None:
    get().warning(Event.RUN_FOLDER_EMPTIED, path=path)
