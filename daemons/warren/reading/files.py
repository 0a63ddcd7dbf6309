"""The log files of a folder, current and rotated, held open: a rotation takes no line from under the reader."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from warren.errors import WarrenError

_GZIP = ".gz"
#: A folder that is rotated again and again while it is listed is read as it was seen last.
_LOOKS = 10

Identity = tuple[int, int]


class LogFile:
    """One file. `damage` says why its end cannot be read, when it cannot."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self.damage = ""
        self._plain: IO[bytes] = open(path, "rb")  # noqa: SIM115  closed by close()
        self._lines: IO[bytes] = gzip.GzipFile(fileobj=self._plain) if path.suffix == _GZIP else self._plain  # type: ignore[assignment]
        self._read = 0

    def lines(self) -> Iterator[bytes]:
        """The whole lines from where the reading before this one ended to the present end of the file."""
        end = os.fstat(self._plain.fileno()).st_size  # else a reader that is slower than the writers never ends
        try:
            # Also half a line was read: it is read again, since a writer may have turned it into blanks.
            self._lines.seek(self._read)
            for line in self._lines:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                yield line
                if self._lines is self._plain and self._read >= end:
                    return
        except (OSError, EOFError, zlib.error) as error:
            self.damage = str(error)

    @property
    def identity(self) -> Identity:
        """What stays when it is renamed."""
        status = os.fstat(self._plain.fileno())
        return status.st_dev, status.st_ino

    @property
    def may_grow(self) -> bool:
        """Whether somebody may still append to it: it is not compressed, and not removed."""
        return self._lines is self._plain and os.fstat(self._plain.fileno()).st_nlink > 0

    def close(self) -> None:
        """Lets go of it."""
        self._lines.close()
        self._plain.close()


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
        return [*self._gone, *self.files]

    def _look(self, compressed: bool) -> None:
        """Makes `_open` hold what is in the folder now."""
        found: dict[Identity, LogFile] = {}
        for path, identity in self._listed(compressed).items():
            try:
                file = self._open.get(identity) or LogFile(path)
            except FileNotFoundError:
                continue  # renamed a moment ago: it is met under its new name by the next look
            except OSError as error:
                raise _unreadable(path, error) from error
            found[file.identity] = file
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
            if name.endswith(_GZIP) and (not compressed or name.removesuffix(_GZIP) in names):
                continue  # it is being made from the other, which still has all
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if status.st_mtime >= self._since:
                found[path] = (status.st_dev, status.st_ino)
        return found


def _unreadable(path: Path, error: OSError) -> WarrenError:
    return WarrenError(
        f"{path}: expected logs that can be read, found: {error.strerror}; "
        "see log_dir in [app], name a folder with --dir, or read them as root or as a member of the group of the suite"
    )
