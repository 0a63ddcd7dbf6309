"""The log files of a directory, current and rotated.

The files are held open, so that a rotation loses no line.
"""

from __future__ import annotations

import os
from pathlib import Path

from warren.errors import WarrenError
from warren.logs.reading.log_file import PACKED, Identity, LogFile, PackedFile
from warren.system.regular_file import NotRegular

#: The most looks at a directory that keeps changing. The result of the last look is used.
_LOOKS = 10


class LogDirectory:
    """The log files of one directory."""

    def __init__(self, directory: Path, since: float = 0.0) -> None:
        """Open every file that was written to after the time `since` (seconds since the epoch).

        Raises WarrenError when the directory cannot be read.
        """
        self._directory = directory
        self._since = since
        self._open: dict[Identity, LogFile] = {}
        self._gone: list[LogFile] = []
        #: The files that have a log's name but cannot be opened, with the reasons.
        self.refused: dict[Path, str] = {}
        before: set[Identity] = set()
        for _ in range(_LOOKS):
            self._look(compressed=True)
            if set(self._open) == before:
                break  # else a rotation came between the listing and the opening
            before = set(self._open)

    @property
    def files(self) -> list[LogFile]:
        """Return the open files."""
        return list(self._open.values())

    def grown(self) -> list[LogFile]:
        """Return the files that may have more lines by now, and the new files.

        A file that is gone is returned once more.
        """
        for file in self._gone:
            file.close()
        before = self._open
        self._look(compressed=False)
        # The file was compressed and is gone. A process that still writes to the old file notices
        # that, and writes its line again.
        self._gone = [file for identity, file in before.items() if identity not in self._open]
        return [file for file in (*self._gone, *self.files) if not file.packed]

    def _look(self, compressed: bool) -> None:
        """Make `_open` hold the files that are in the directory now."""
        found: dict[Identity, LogFile] = {}
        failed: tuple[Path, OSError] | None = None
        for path, identity in self._listed(compressed).items():
            try:
                file = self._open.get(identity) or (
                    PackedFile if path.suffix == PACKED else LogFile
                )(path)
            except FileNotFoundError:
                continue  # the file has just been renamed, and the next look finds its new name
            # The file is planted or protected. The other logs can still be read.
            except OSError as error:
                self.refused[path] = _why(error)
                failed = (path, error)
                continue
            found[file.identity] = file
        if failed is not None and not found and not isinstance(failed[1], NotRegular):
            raise _unreadable(*failed) from failed[1]
        # A file that is renamed during the listing may appear under neither name. It must not count
        # as a new file at the next look.
        missed = {
            identity: file
            for identity, file in self._open.items()
            if identity not in found and file.may_grow
        }
        self._open = found | missed

    def _listed(self, compressed: bool) -> dict[Path, Identity]:
        try:
            with os.scandir(self._directory) as entries:
                names = {entry.name for entry in entries if ".log" in entry.name}
        except OSError as error:
            raise _unreadable(self._directory, error) from error
        found = {}
        for name in names:
            path = self._directory / name
            if name.endswith(PACKED) and (not compressed or name.removesuffix(PACKED) in names):
                continue  # it is being compressed from the other file, which still has all
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            if status.st_mtime >= self._since:
                found[path] = (status.st_dev, status.st_ino)
        return found


def _why(error: OSError) -> str:
    if isinstance(error, NotRegular):
        return f"it is {error.strerror}"
    return f"it cannot be opened: {error.strerror or error}"


def _unreadable(path: Path, error: OSError) -> WarrenError:
    return WarrenError(
        f"{path}: the logs cannot be read: {error.strerror}; see log_dir in [app], name a "
        "directory with --dir, or read the logs as root or as a member of the suite's group"
    )
