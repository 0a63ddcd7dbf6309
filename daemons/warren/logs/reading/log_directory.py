"""The log files of a folder, current and rotated, held open: a rotation takes no line from under the reader."""

from __future__ import annotations

import os
from pathlib import Path

from warren.errors import WarrenError
from warren.logs.reading.log_file import PACKED, Identity, LogFile, PackedFile
from warren.system.regular_file import NotRegular

#: A folder that is rotated again and again while it is listed is read as it was seen last.
_LOOKS = 10


class LogFolder:
    """The files of one folder."""

    def __init__(self, folder: Path, since: float = 0.0) -> None:
        """Opens every file that was written to since that time (seconds of the epoch).

        Raises WarrenError for a folder that cannot be read.
        """
        self.folder = folder
        self._since = since
        self._open: dict[Identity, LogFile] = {}
        self._gone: list[LogFile] = []
        #: What has the name of a log and is none that can be opened, and why.
        self.refused: dict[Path, str] = {}
        before: set[Identity] = set()
        for _ in range(_LOOKS):
            self._look(compressed=True)
            if set(self._open) == before:
                break  # else there was a rotation between the listing and the opening
            before = set(self._open)

    @property
    def files(self) -> list[LogFile]:
        """Those that are open."""
        return list(self._open.values())

    def grown(self) -> list[LogFile]:
        """The files that may have more lines by now, those made since included. Files that are gone come a last time."""
        for file in self._gone:
            file.close()
        before = self._open
        self._look(compressed=False)
        # A file that is compressed is gone; whoever still writes to it finds that out and writes its line again.
        self._gone = [file for identity, file in before.items() if identity not in self._open]
        return [file for file in (*self._gone, *self.files) if not file.packed]

    def _look(self, compressed: bool) -> None:
        """Makes `_open` hold what is in the folder now."""
        found: dict[Identity, LogFile] = {}
        failed: tuple[Path, OSError] | None = None
        for path, identity in self._listed(compressed).items():
            try:
                file = self._open.get(identity) or (PackedFile if path.suffix == PACKED else LogFile)(path)
            except FileNotFoundError:
                continue  # renamed a moment ago: it is met under its new name by the next look
            except OSError as error:  # put there by somebody, or closed; the others are logs all the same
                self.refused[path] = _why(error)
                failed = (path, error)
                continue
            found[file.identity] = file
        if failed is not None and not found and not isinstance(failed[1], NotRegular):
            raise _unreadable(*failed) from failed[1]
        # A file that is renamed during the listing may be met under neither name, and must not be new the next time.
        missed = {identity: file for identity, file in self._open.items() if identity not in found and file.may_grow}
        self._open = found | missed

    def _listed(self, compressed: bool) -> dict[Path, Identity]:
        try:
            with os.scandir(self.folder) as entries:
                names = {entry.name for entry in entries if ".log" in entry.name}
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        found = {}
        for name in names:
            path = self.folder / name
            if name.endswith(PACKED) and (not compressed or name.removesuffix(PACKED) in names):
                continue  # it is being made from the other, which still has all
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
        f"{path}: the logs cannot be read: {error.strerror}; "
        "see log_dir in [app], name a folder with --dir, or read them as root or as a member of the group of the suite"
    )
