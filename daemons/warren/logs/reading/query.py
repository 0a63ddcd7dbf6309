"""The reader of log directories. It returns the lines that were asked for, from all files."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from itertools import chain, islice
from pathlib import Path

from warren.logs.reading.line import later, moment, time_of
from warren.logs.reading.log_directory import LogDirectory
from warren.logs.reading.log_file import LogFile
from warren.logs.reading.merge import Timed, back_in_order, in_order, latest_first, merged
from warren.logs.reading.seek import LONGEST, SET_BACK
from warren.logs.reading.selection import Selection


class Reader:
    """Reads log directories.

    The files are opened at once, so the result is the content at this moment.
    """

    def __init__(self, directories: Sequence[Path], asked: Selection, since: float = 0.0) -> None:
        """Open the files that were written to after the time `since` (seconds since the epoch).

        Raises WarrenError.
        """
        self._directories = [LogDirectory(directory, since) for directory in directories]
        self._asked = asked
        #: The number of matching lines so far.
        self.found = 0
        self._strange: Counter[Path] = Counter()
        self._damaged: dict[Path, str] = {}
        self._too_long: Counter[Path] = Counter()

    def there(self) -> Iterator[Timed]:
        """Return the matching lines that the files have now, by time."""
        return merged(
            self._lines(file) for directory in self._directories for file in directory.files
        )

    def last(self, number: int) -> list[Timed]:
        """Return the last `number` matching lines, by time. They are read from the ends of the
        files.
        """
        files = [file for directory in self._directories for file in directory.files]
        latest = latest_first(
            [self._packed(file, number) if file.packed else self._back(file) for file in files]
        )
        return list(islice((line for line in latest if line[1]), number))[::-1]

    def more(self) -> Iterator[Timed]:
        """Return the matching lines that came after the last reading, by time among themselves."""
        return merged(
            self._lines(file) for directory in self._directories for file in directory.grown()
        )

    def errors_found(self) -> list[str]:
        """Return a sentence for each part that could not be read so far."""
        for file in (file for directory in self._directories for file in directory.files):
            self._note(file)
        refused = {
            path: why for directory in self._directories for path, why in directory.refused.items()
        }
        return [
            *(f"{path}: left out, because {why}" for path, why in refused.items()),
            *(
                f"{path}: expected one JSON object a line, found {n} other "
                f"line{'' if n == 1 else 's'}; left out"
                for path, n in self._strange.items()
            ),
            *(
                f"{path}: {n} lines of the file are longer than {LONGEST} bytes; left out"
                for path, n in self._too_long.items()
            ),
            *(
                f"{path}: it cannot be read to its end: {why}; the rest is left out"
                for path, why in self._damaged.items()
            ),
        ]

    def _lines(self, file: LogFile) -> Iterator[Timed]:
        """Return the wanted lines that were not read yet, in the order of the file."""
        for block in filter(self._asked.may_be_in, file.blocks(self._asked.begin, self._asked.end)):
            yield from self._wanted(file, BytesIO(block))
        self._note(file)

    def _back(self, file: LogFile) -> Iterator[Timed]:
        """Return the wanted lines by time, the latest first."""
        file.skip()  # at once, not with the first line: later lines are for `more`
        blocks = filter(self._asked.may_be_in, file.back(self._asked.begin, self._asked.end))
        lines = (reversed(BytesIO(block).readlines()) for block in blocks)
        return back_in_order(self._wanted(file, chain.from_iterable(lines)))

    def _note(self, file: LogFile) -> None:
        """Note the parts of the file that were left out so far."""
        if file.damage:
            self._damaged[file.path] = file.damage
        if file.too_long:
            self._too_long[file.path] = file.too_long

    def _packed(self, file: LogFile, number: int) -> Iterator[Timed]:
        """Return the last `number` wanted lines of a compressed file.

        The first item is not a line, but a time that no line of the file is later than. With it the
        file is unpacked only when the lines of the other files are not enough.
        """
        yield later(moment(datetime.fromtimestamp(file.written, UTC)), SET_BACK), b""
        yield from reversed(deque(in_order(self._lines(file)), maxlen=number))

    def _wanted(self, file: LogFile, lines: Iterable[bytes]) -> Iterator[Timed]:
        for raw in lines:
            try:
                time = time_of(raw)
                wanted = self._asked.wants(time, raw)
            except ValueError:
                # A full disk had no room for a line, and the writer has made its rest a blank line.
                if raw.strip():
                    self._strange[file.path] += 1
                continue
            if wanted:
                self.found += 1
                yield time, raw
