"""The file of a log. Many processes append to it, it may be rotated, and its disk may be full."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from warren.system.obstacles import MovedAway, clear

MODE = 0o640
#: Seconds. A process that has written no line for so long looks at the end of the file first.
SILENCE = 1.0
_LOOKS = 3
_BETWEEN_LOOKS = 0.002


class LineFile:
    """Appends lines to the file that has `path` at that moment, with one write(2) for each line.

    The kernel appends each write as a whole, so processes need no lock among themselves. The
    threads of one process need a lock, which the caller holds (logging.Handler has a lock, and
    renews it in a forked child).

    loss_line: returns the line that reports lost lines once writing works again; its arguments are
    the number of lost lines and the last error. rename_line: returns the line that names a
    directory that was found at the file's path.
    """

    def __init__(
        self,
        path: Path,
        loss_line: Callable[[int, str], bytes],
        rename_line: Callable[[MovedAway], bytes] = lambda _: b"",
    ) -> None:
        """Open or create the file. Raises OSError when that fails."""
        self.path = path
        self.lost = 0
        self._loss_line, self._rename_line = loss_line, rename_line
        self._moved_away: MovedAway | None = None
        self._error = ""
        self._last = -SILENCE
        self._fd = -1
        self._name = os.fspath(path)
        self._identity = (0, 0)
        self._pid = 0
        self._reopen()

    def write(self, line: bytes) -> None:
        """Append `line`, which ends in a newline.

        Raises nothing. A line that cannot be written is counted as lost.
        """
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
            # While this process was stopped, the file was rotated, compressed and removed. Whether
            # the line was written before that is not known. A line that is there twice is better
            # than a lost line.
            self._put(line)

    def _put(self, line: bytes) -> None:
        self._follow()
        text = self._loss_line(self.lost, self._error) + line if self.lost else line
        if self._moved_away is not None:
            text = self._rename_line(self._moved_away) + text
        now = time.monotonic()
        if (self.lost or now - self._last > SILENCE) and self._is_torn():
            text = b"\n" + text
        self._last = now
        written = os.write(self._fd, text)
        if written < len(text):  # the disk became full in the midst of the line
            if written:
                self._blank(written)
            raise OSError(0, f"only {written} of {len(text)} bytes fitted")
        self.lost = 0
        self._moved_away = None

    def _blank(self, written: int) -> None:
        """Turn the half line that was just written into a blank line, which readers of JSON ignore.

        The half line is not cut off: another process may append at any moment, and a cut would also
        remove that process's line. No other process writes over these bytes, wherever the file ends
        by now, and writing over them needs no disk space.
        """
        # The end of this process's bytes. O_APPEND has decided where they are.
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        # Opened without O_APPEND, which would write the blanks at the end of the file.
        fd = os.open(f"/proc/self/fd/{self._fd}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, b" " * (written - 1) + b"\n", end - written)
        finally:
            os.close(fd)

    def _follow(self) -> None:
        """Open the file again after a rename, a removal, a fork or a close.

        The check costs one stat(2) per line. A fork needs a new opening: an inherited file shares
        its position with the parent, and `_blank` must know where its own bytes end.
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
            # A renamed file is better than no file. It still has a name, so the tool that has
            # rotated the file can find the line.
            if not ours or os.fstat(self._fd).st_nlink == 0:
                raise

    def _is_ours(self) -> bool:
        """Return whether the descriptor is still the log's.

        A task may have closed the descriptor, and another file may have its number now.
        """
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _reopen(self, ours: bool = False) -> None:
        # A fifo or a directory at the path of the log is moved or removed. A link stays: its target
        # may be on another disk, or be /dev/stdout.
        self._moved_away = clear(self._name, _is_log) or self._moved_away
        fd = _open(self._name)
        status = os.fstat(fd)
        old, self._fd, self._identity, self._pid = (
            self._fd,
            fd,
            (status.st_dev, status.st_ino),
            os.getpid(),
        )
        if ours:  # closed last, so that a signal handler between these lines can log
            os.close(old)

    def _is_torn(self) -> bool:
        """Return whether the file ends in half a line, after a full disk or a power cut.

        Another process may be in the midst of a write whose pages appear one by one. So the end
        counts only if it stays the same for some looks.
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
            complain(
                f"cannot append a line to {self.path}: {self._error}; lines are lost until a write "
                "succeeds; free space on the disk"
            )


def complain(text: str) -> None:
    """Write to stderr, if the process has one. This is the last way to report a failing log."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    # The process may have no stderr, or stderr may be a pipe without a reader, or closed.
    except (AttributeError, OSError, ValueError):
        return


def _open(name: str) -> int:
    # Read access is for `_is_torn`, which reads the last byte. Without O_NONBLOCK, a full pipe
    # without a reader would block its writer for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags)
    except FileNotFoundError:
        pass
    try:
        fd = os.open(name, flags | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:  # another process was faster, or the name is a link to a missing target
        return os.open(name, flags | os.O_CREAT, MODE)
    os.fchmod(fd, MODE)  # for any umask; only a file that this call has created
    return fd


def _is_log(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
