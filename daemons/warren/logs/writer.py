"""The file behind a log: many processes append to it, it may be rotated at any time, and its disk may be full."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from warren.system.obstacles import SetAside, clear

MODE = 0o640
#: After this many seconds of silence a process looks at the end of the file before it adds to it.
SILENCE = 1.0
_LOOKS = 3
_BETWEEN_LOOKS = 0.002


class LineFile:
    """Appends lines, one write(2) each, to whatever file now bears `path`.

    The kernel appends each write whole, so processes need no lock among themselves. Threads of one process do:
    the caller holds one (logging.Handler has it, and renews it in a forked child).

    `told` makes the line that says how many lines were lost, once writing works again; it gets the number and the
    last error. `kept` makes the one that names a directory that stood in the place of the file.
    """

    def __init__(self, path: Path, told: Callable[[int, str], bytes], kept: Callable[[SetAside], bytes] = lambda _: b"") -> None:
        """Raises OSError when the file cannot be opened or created."""
        self.path = path
        self.lost = 0
        self._told, self._kept = told, kept
        self._set_aside: SetAside | None = None
        self._error = ""
        self._last = -SILENCE
        self._fd = -1
        self._name = os.fspath(path)
        self._identity = (0, 0)
        self._pid = 0
        self._reopen()

    def write(self, line: bytes) -> None:
        """Appends `line`, which ends in a newline. Never raises: what cannot be written is counted."""
        try:
            self._append(line)
        except OSError as error:
            self._count(error)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._is_ours():
            os.close(self._fd)
        self._fd = -1

    def _append(self, line: bytes) -> None:
        self._put(line)
        if os.fstat(self._fd).st_nlink == 0:
            # While this process stood still the file was rotated, compressed and removed. Whether the line was there in time
            # nobody knows: better twice than not at all.
            self._put(line)

    def _put(self, line: bytes) -> None:
        self._follow()
        text = self._told(self.lost, self._error) + line if self.lost else line
        if self._set_aside is not None:
            text = self._kept(self._set_aside) + text
        now = time.monotonic()
        if (self.lost or now - self._last > SILENCE) and self._is_torn():
            text = b"\n" + text
        self._last = now
        written = os.write(self._fd, text)
        if written < len(text):  # the disk filled up within the line
            if written:
                self._blank(written)
            raise OSError(0, f"only {written} of {len(text)} bytes fitted")
        self.lost = 0
        self._set_aside = None

    def _blank(self, written: int) -> None:
        """Turns the half line that was just written into a blank one, which readers of JSON pass over.

        It is not cut off: another process may append at any moment, and a cut would take its line too. These bytes are
        ours alone, wherever the file ends by now, and to write over them takes no room.
        """
        end = os.lseek(self._fd, 0, os.SEEK_CUR)  # where O_APPEND has put our bytes
        fd = os.open(f"/proc/self/fd/{self._fd}", os.O_WRONLY | os.O_CLOEXEC)  # O_APPEND would send the blanks to the end
        try:
            os.pwrite(fd, b" " * (written - 1) + b"\n", end - written)
        finally:
            os.close(fd)

    def _follow(self) -> None:
        """Opens the file anew when it was renamed or removed (one stat(2) a line), after a fork, and when somebody closed it.

        What a child inherits shares its position with the parent's, and `_blank` must know where its own bytes ended.
        """
        ours = self._is_ours()
        try:
            found = os.stat(self._name)
            if ours and (found.st_dev, found.st_ino) == self._identity and os.getpid() == self._pid:
                return
        except FileNotFoundError:
            pass
        try:
            self._reopen(ours)
        except OSError:
            # Better in the renamed file than nowhere: it still has a name, so whoever rotated it has it.
            if not ours or os.fstat(self._fd).st_nlink == 0:
                raise

    def _is_ours(self) -> bool:
        """Return whether the descriptor is still the log's: a task may have closed it, and its number may be another file's."""
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _reopen(self, ours: bool = False) -> None:
        # A fifo or a directory in the place of the log makes way. A link stays: to another disk, or to /dev/stdout.
        self._set_aside = clear(self._name, _is_log) or self._set_aside
        fd = _open(self._name)
        status = os.fstat(fd)
        old, self._fd, self._identity, self._pid = self._fd, fd, (status.st_dev, status.st_ino), os.getpid()
        if ours:  # only now: a signal handler that logs between these lines always finds an open file
            os.close(old)

    def _is_torn(self) -> bool:
        """Whether the file ends in half a line: a disk that was full, or a host that lost power.

        Another process may be in the middle of its write, and its pages appear one by one: only an end that stays
        the same is torn.
        """
        end = -1
        for look in range(_LOOKS):
            size = os.fstat(self._fd).st_size
            if size == 0 or os.pread(self._fd, 1, size - 1) == b"\n" or (look and size != end):
                return False
            end = size
            time.sleep(_BETWEEN_LOOKS)
        return True

    def _count(self, error: OSError) -> None:
        self.lost += 1
        self._error = error.strerror or str(error)
        if self.lost == 1:
            complain(f"cannot append a line to {self.path}: {self._error}; lines are lost until it works")


def complain(text: str) -> None:
    """The last place where a log can say that it fails: stderr, if there is one."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # no stderr, a pipe without a reader, a closed file
        return


def _open(name: str) -> int:
    # Reading is for the look at the last byte. O_NONBLOCK: a pipe that nobody empties would hold up its writer for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags)
    except FileNotFoundError:
        pass
    try:
        fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:  # another process was faster, or it is a link whose target is not there yet
        return os.open(name, flags | os.O_CREAT, MODE)
    os.fchmod(fd, MODE)  # whatever the umask says; only for a file that is ours because we made it
    return fd


def _is_log(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
