"""One log file, held open, in blocks of whole lines: forwards, as it grows, and from its end backwards."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from warren.logs.reading.seek import LONGEST, border
from warren.system.regular_file import open_regular

PACKED = ".gz"
#: Bytes that are read at once; a longer line is read whole, up to LONGEST.
BLOCK = 1 << 18
#: Bytes in which a line that is too long must end: what stands beyond is not looked for, and the rest of the file is left out.
LOST = 1 << 26
#: A compressed file is unpacked to so many bytes, or to so many times its size if that is more: what is larger is no log. The
#: same traceback again and again has a ratio of some 100, zeros of 1,000.
UNPACKED, RATIO = 1 << 26, 250
#: Bytes of a compressed file that may hold nothing, such as the name in its head; and streams in one file, as gzip calls them.
BARREN, STREAMS = 1 << 22, 1000
_GZIP = 31  # for zlib: with gzip's own head and end

_ENDLESS = f"a line is longer than {LONGEST} bytes and has no end"

Identity = tuple[int, int]


class LogFile:
    """A file that somebody may still append to.

    `damage` says why a part of it cannot be read, when it cannot; `too_long` counts the lines that were left out for that.
    """

    packed = False

    def __init__(self, path: Path) -> None:
        """Raises OSError, NotRegular among them."""
        self.path = path
        self.damage = ""
        self.too_long = 0
        self._fd = open_regular(path)
        self._read = 0

    def blocks(self, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """The lines from where the reading before this one ended to the present end of the file. Those before `begin` and from
        `end` on (times as `line.moment` has them, empty for none) are passed over, but for some.
        """
        low = self._read
        self.skip()  # what is written meanwhile is for the next reading: a reader slower than the writers would never end
        low, high = self._between(low, self._read, begin, end)
        while low < high:
            if block := self._from(low, high):
                low += len(block)
                yield block
            else:
                low = self._behind_line(low, high)

    def back(self, begin: bytes, end: bytes) -> Iterator[bytes]:
        """The lines that were read or skipped so far, the last block first, and passed over as by `blocks`."""
        low, high = self._between(0, self._read, begin, end)
        while low < high:
            if block := self._until(low, high):
                high -= len(block)
                yield block
            else:
                high = self._before_line(low, high)

    def skip(self) -> None:
        """What is there now counts as read. Half a line does not: a writer may finish it, or turn it into blanks."""
        size = os.fstat(self._fd).st_size
        border = self._last_border(0, size)
        self._read = size if border is None else border  # half a line that long is none that anybody finishes
        if border is None or size - border > LONGEST:
            self.damage = _ENDLESS

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
        """Whole lines from `low` on. Nothing when the first is too long, or when somebody has cut the file off meanwhile."""
        length = BLOCK
        while True:
            found = self._at(low, min(length, high - low))
            block = found[: found.rfind(b"\n") + 1]
            if block or len(found) < length or length >= LONGEST:
                return block
            length *= 2

    def _behind_line(self, low: int, high: int) -> int:
        """Where the line ends that begins at `low` and is left out; `high` when its end is too far away, or not there."""
        place, last = low, min(high, low + LOST)
        while place < last and (found := self._at(place, min(BLOCK, last - place))):
            cut = found.find(b"\n")
            if cut >= 0:
                self.too_long += 1
                return place + cut + 1
            place += len(found)
        if place - low > LONGEST:
            self.damage = _ENDLESS
        return high

    def _until(self, low: int, high: int) -> bytes:
        """Whole lines up to `high`, where one ends; one begins at `low`. Nothing when the last is too long."""
        length = BLOCK
        while (begin := high - length) > low:
            found = self._at(begin, length)
            cut = found.find(b"\n") + 1  # where the first whole line begins
            if 0 < cut < len(found):
                return found[cut:]
            if length > LONGEST:
                return b""
            length = min(2 * length, LONGEST + 1)  # the longest line, and the end of the one before
        return self._at(low, high - low)

    def _before_line(self, low: int, high: int) -> int:
        """Where the line begins that ends at `high` and is left out; `low` when its beginning is too far away, or not there."""
        border = self._last_border(low, high - 1)
        if border is None:
            self.damage = _ENDLESS
            return low
        self.too_long += 1
        return border

    def _last_border(self, low: int, place: int) -> int | None:
        """Where the last whole line ends between `low`, which counts as the end of one, and `place`; None: too far away."""
        last = max(low, place - LOST)
        while place > last:
            begin = max(place - BLOCK, last)
            cut = self._at(begin, place - begin).rfind(b"\n")
            if cut >= 0:
                return begin + cut + 1
            place = begin
        return low if last == low else None


class PackedFile(LogFile):
    """A compressed one: it is whole, and can be read from its beginning only."""

    packed = True

    def blocks(self, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """All of its lines: nothing is passed over."""
        try:
            yield from self._lines(self._unpacked())
        except (OSError, EOFError, zlib.error) as error:
            self.damage = str(error)

    def _unpacked(self) -> Iterator[bytes]:
        """What is packed, in blocks. Not by Python's gzip, which reads a name in the head byte by byte, however long it is.

        Raises OSError, EOFError, zlib.error.
        """
        stream, streams, barren, place = zlib.decompressobj(_GZIP), 1, 0, 0
        while packed := self._at(place, BLOCK):
            place += len(packed)
            while packed:
                found = b""
                if stream.eof:  # another one may follow, as after `cat a.gz b.gz`, or zeros
                    if packed := packed.lstrip(b"\0"):
                        stream, streams = zlib.decompressobj(_GZIP), streams + 1
                else:
                    found = stream.decompress(packed, BLOCK)
                    packed = stream.unused_data if stream.eof else stream.unconsumed_tail
                barren = 0 if found else barren + BLOCK
                if barren > BARREN or streams > STREAMS:
                    raise EOFError("it is no archive of a log")
                if found:
                    yield found
        if not stream.eof:
            raise EOFError("it ends too early")

    def _lines(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same bytes in blocks of whole lines, but for the lines that are too long."""
        left = max(UNPACKED, RATIO * os.fstat(self._fd).st_size)
        half, length = list[bytes](), 0  # the parts of a line whose end is not there yet, and their length
        for found in blocks:
            left -= len(found)
            if left < 0:
                self.damage = f"it unpacks to more than {RATIO} times its size"
                return
            first = found.find(b"\n") + 1
            if not first:
                length += len(found)
                half.append(found)
                if length > LONGEST:
                    half.clear()
                continue
            last = found.rfind(b"\n") + 1
            if length + first > LONGEST:
                self.too_long += 1
                half, found = [], found[first:]
                last -= first
            if whole := b"".join((*half, found[:last])):
                yield whole
            half, length = [found[last:]], len(found) - last
        if length > LONGEST:
            self.damage = _ENDLESS

    @property
    def may_grow(self) -> bool:
        """Never."""
        return False
