"""One log file, held open, in blocks of whole lines: forwards, as it grows, and from its end backwards."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from warren.reading.seek import border

PACKED = ".gz"
#: Bytes that are read at once; a longer line is read whole.
BLOCK = 1 << 18

Identity = tuple[int, int]


class LogFile:
    """A file that somebody may still append to. `damage` says why its end cannot be read, when it cannot."""

    packed = False

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self.damage = ""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._read = 0

    def blocks(self, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """The lines from where the reading before this one ended to the present end of the file. Those before `begin` and from
        `end` on (times as `line.moment` has them, empty for none) are passed over, but for some.
        """
        low = self._read
        self.skip()  # what is written meanwhile is for the next reading: a reader slower than the writers would never end
        low, high = self._between(low, self._read, begin, end)
        while low < high and (block := self._from(low, high)):
            low += len(block)
            yield block

    def back(self, begin: bytes, end: bytes) -> Iterator[bytes]:
        """The lines that were read or skipped so far, the last block first, and passed over as by `blocks`."""
        low, high = self._between(0, self._read, begin, end)
        while low < high and (block := self._until(low, high)):
            high -= len(block)
            yield block

    def skip(self) -> None:
        """What is there now counts as read. Half a line does not: a writer may finish it, or turn it into blanks."""
        self._read = self._last_border(os.fstat(self._fd).st_size)

    @property
    def identity(self) -> Identity:
        """What stays when it is renamed."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    @property
    def written(self) -> float:
        """When it was last written to, in seconds of the epoch."""
        return os.fstat(self._fd).st_mtime

    @property
    def may_grow(self) -> bool:
        """Whether somebody may still append to it: it is not compressed, and not removed."""
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._fd)

    def _between(self, low: int, high: int, begin: bytes, end: bytes) -> tuple[int, int]:
        if begin:
            low = border(self._at, low, high, begin)[0]
        if end:
            high = border(self._at, low, high, end)[1]
        return low, high

    def _at(self, place: int, length: int) -> bytes:
        return os.pread(self._fd, length, place)

    def _from(self, low: int, high: int) -> bytes:
        """Whole lines from `low` on; one ends at `high`. Nothing when somebody has cut the file off meanwhile."""
        length = BLOCK
        while True:
            found = self._at(low, min(length, high - low))
            block = found[: found.rfind(b"\n") + 1]
            if block or len(found) < length:
                return block
            length *= 2

    def _until(self, low: int, high: int) -> bytes:
        """Whole lines up to `high`, where one ends; one begins at `low`."""
        length = BLOCK
        while (begin := high - length) > low:
            found = self._at(begin, length)
            cut = found.find(b"\n") + 1  # where the first whole line begins
            if 0 < cut < len(found):
                return found[cut:]
            length *= 2
        return self._at(low, high - low)

    def _last_border(self, place: int) -> int:
        """Where the last whole line before `place` ends."""
        while place > 0:
            begin = max(place - BLOCK, 0)
            cut = self._at(begin, place - begin).rfind(b"\n")
            if cut >= 0:
                return begin + cut + 1
            place = begin
        return 0


class PackedFile(LogFile):
    """A compressed one: it is whole, and can be read from its beginning only."""

    packed = True

    def blocks(self, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """All of its lines: nothing is passed over."""
        rest = b""
        try:
            with open(self._fd, "rb", closefd=False) as raw, gzip.GzipFile(fileobj=raw) as unpacked:
                while found := unpacked.read1(BLOCK):
                    lines, newline, half = (rest + found).rpartition(b"\n")
                    rest = half
                    if newline:
                        yield lines + newline
        except (OSError, EOFError, zlib.error) as error:
            self.damage = str(error)

    @property
    def may_grow(self) -> bool:
        """Never."""
        return False
