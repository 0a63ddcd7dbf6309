"""An open log file, read in blocks of whole lines: forwards, as the file grows, or backwards."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from warren.logs.reading.seek import LONGEST, border
from warren.system.regular_file import open_regular

PACKED = ".gz"
#: Bytes that are read at once. A longer line is read whole, up to LONGEST.
BLOCK = 1 << 18
#: Bytes within which a line that is too long must end. Otherwise the search for its end stops, and
#: the rest of the file is left out.
LOST = 1 << 26
#: A compressed file is unpacked to UNPACKED bytes, or to RATIO times its size if that is more. A
#: file that unpacks to more is not a log. A traceback that is repeated again and again has a ratio
#: of about 100, zeros have 1,000.
UNPACKED, RATIO = 1 << 26, 250
#: Bytes of a compressed file that may unpack to nothing, such as the name in its header. Also the
#: most streams (gzip calls them members) of one file.
BARREN, STREAMS = 1 << 22, 1000
_GZIP = 31  # the parameter of zlib for a stream with gzip's header and trailer

_ENDLESS = f"a line is longer than {LONGEST} bytes and has no end"

Identity = tuple[int, int]


class LogFile:
    """A file to which processes may still append.

    damage: why a part of the file cannot be read; empty without damage. too_long: the number of
    lines that were left out because they are too long.
    """

    packed = False

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError, also NotRegular."""
        self.path = path
        self.damage = ""
        self.too_long = 0
        self._fd = open_regular(path)
        self._read = 0

    def blocks(self, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """Return the lines from the end of the last reading to the present end of the file.

        begin, end: times in the form of `line.moment`; empty for no limit. Lines before `begin`,
        and lines from `end` on, are skipped, except for some of them.
        """
        low = self._read
        # Lines that are written meanwhile are left for the next reading. Otherwise a reader that is
        # slower than the writers would never end.
        self.skip()
        low, high = self._between(low, self._read, begin, end)
        while low < high:
            if block := self._from(low, high):
                low += len(block)
                yield block
            else:
                low = self._behind_line(low, high)

    def back(self, begin: bytes, end: bytes) -> Iterator[bytes]:
        """Return the lines that were read or skipped so far, the last block first.

        Lines outside of `begin` and `end` are skipped as in `blocks`.
        """
        low, high = self._between(0, self._read, begin, end)
        while low < high:
            if block := self._until(low, high):
                high -= len(block)
                yield block
            else:
                high = self._before_line(low, high)

    def skip(self) -> None:
        """Count the present content as read.

        Half a line does not count as read: its writer may finish it, or turn it into blanks.
        """
        size = os.fstat(self._fd).st_size
        border = self._last_border(0, size)
        # Nobody finishes half a line of this length.
        self._read = size if border is None else border
        if border is None or size - border > LONGEST:
            self.damage = _ENDLESS

    @property
    def identity(self) -> Identity:
        """Return the device and the inode, which stay the same when the file is renamed."""
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino

    @property
    def written(self) -> float:
        """Return when the file was last written to, in seconds since the epoch."""
        return os.fstat(self._fd).st_mtime

    @property
    def may_grow(self) -> bool:
        """Return whether a process may still append.

        No process appends to a compressed file or to a removed file.
        """
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _between(self, low: int, high: int, begin: bytes, end: bytes) -> tuple[int, int]:
        if begin:
            low = border(self._at, low, high, begin)[0]
        if end:
            high = border(self._at, low, high, end)[1]
        return low, high

    def _at(self, position: int, length: int) -> bytes:
        return os.pread(self._fd, length, position)

    def _from(self, low: int, high: int) -> bytes:
        """Return whole lines from `low` on.

        Returns nothing when the first line is too long, or when the file was truncated meanwhile.
        """
        length = BLOCK
        while True:
            found = self._at(low, min(length, high - low))
            block = found[: found.rfind(b"\n") + 1]
            if block or len(found) < length or length >= LONGEST:
                return block
            length *= 2

    def _behind_line(self, low: int, high: int) -> int:
        """Return the end of the line that begins at `low`. The line is left out.

        Returns `high` when the end is too far away, or missing.
        """
        position, last = low, min(high, low + LOST)
        while position < last and (found := self._at(position, min(BLOCK, last - position))):
            cut = found.find(b"\n")
            if cut >= 0:
                self.too_long += 1
                return position + cut + 1
            position += len(found)
        if position - low > LONGEST:
            self.damage = _ENDLESS
        return high

    def _until(self, low: int, high: int) -> bytes:
        """Return whole lines up to `high`. A line begins at `low`, and a line ends at `high`.

        Returns nothing when the last line is too long.
        """
        length = BLOCK
        while (begin := high - length) > low:
            found = self._at(begin, length)
            cut = found.find(b"\n") + 1  # the begin of the first whole line
            if 0 < cut < len(found):
                return found[cut:]
            if length > LONGEST:
                return b""
            # The longest line, and the end of the line before it.
            length = min(2 * length, LONGEST + 1)
        return self._at(low, high - low)

    def _before_line(self, low: int, high: int) -> int:
        """Return the begin of the line that ends at `high`. The line is left out.

        Returns `low` when the begin is too far away, or missing.
        """
        border = self._last_border(low, high - 1)
        if border is None:
            self.damage = _ENDLESS
            return low
        self.too_long += 1
        return border

    def _last_border(self, low: int, position: int) -> int | None:
        """Return the end of the last whole line between `low` and `position`.

        `low` counts as the end of a line. Returns None when the end is too far away.
        """
        last = max(low, position - LOST)
        while position > last:
            begin = max(position - BLOCK, last)
            cut = self._at(begin, position - begin).rfind(b"\n")
            if cut >= 0:
                return begin + cut + 1
            position = begin
        return low if last == low else None


class PackedFile(LogFile):
    """A compressed file. It is complete, and can only be read from its beginning."""

    packed = True

    def blocks(self, begin: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """Return all lines of the file: `begin` and `end` have no effect."""
        try:
            yield from self._lines(self._unpacked())
        except (OSError, EOFError, zlib.error) as error:
            self.damage = str(error)

    def _unpacked(self) -> Iterator[bytes]:
        """Return the unpacked content, in blocks.

        Python's gzip is not used, because it reads the name in the header byte by byte, however
        long the name is. Raises OSError, EOFError, zlib.error.
        """
        stream, streams, barren, position = zlib.decompressobj(_GZIP), 1, 0, 0
        while packed := self._at(position, BLOCK):
            position += len(packed)
            while packed:
                found = b""
                if stream.eof:  # another stream may follow, as after `cat a.gz b.gz`, or zeros
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
        """Return the content of these blocks in blocks of whole lines. Lines that are too long are
        left out.
        """
        left = max(UNPACKED, RATIO * os.fstat(self._fd).st_size)
        half, length = list[bytes](), 0  # the parts of a line without its end, and their length
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
        """Return False: nobody appends to a compressed file."""
        return False
