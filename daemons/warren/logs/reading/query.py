"""What was asked for, out of every file of some folders."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from itertools import chain, islice
from pathlib import Path

from warren.logs.reading.line import later, moment, time_of
from warren.logs.reading.log_directory import LogFolder
from warren.logs.reading.log_file import LogFile
from warren.logs.reading.merge import Timed, back_in_order, in_order, latest_first, merged
from warren.logs.reading.seek import LONGEST, SET_BACK
from warren.logs.reading.selection import Selection


class Reader:
    """Reads the folders; opens their files at once, so that what it shows is what is there now."""

    def __init__(self, folders: Sequence[Path], asked: Selection, since: float = 0.0) -> None:
        """Files that were not written to since that time (seconds of the epoch) are not opened. Raises WarrenError."""
        self._folders = [LogFolder(folder, since) for folder in folders]
        self._asked = asked
        #: So many lines were asked for, so far.
        self.found = 0
        self._strange: Counter[Path] = Counter()
        self._damaged: dict[Path, str] = {}
        self._too_long: Counter[Path] = Counter()

    def there(self) -> Iterator[Timed]:
        """The lines that the files have, by time."""
        return merged(self._lines(file) for folder in self._folders for file in folder.files)

    def last(self, number: int) -> list[Timed]:
        """So many of them, the last, by time; read from the ends of the files."""
        files = [file for folder in self._folders for file in folder.files]
        latest = latest_first([self._packed(file, number) if file.packed else self._back(file) for file in files])
        return list(islice((line for line in latest if line[1]), number))[::-1]

    def more(self) -> Iterator[Timed]:
        """The lines that came since, by time among themselves."""
        return merged(self._lines(file) for folder in self._folders for file in folder.grown())

    def troubles(self) -> list[str]:
        """What could not be read so far, a sentence each."""
        for file in (file for folder in self._folders for file in folder.files):
            self._note(file)
        refused = {path: why for folder in self._folders for path, why in folder.refused.items()}
        return [
            *(f"{path}: left out, for {why}" for path, why in refused.items()),
            *(f"{path}: expected one JSON object a line, found {n} that are none; left out" for path, n in self._strange.items()),
            *(f"{path}: {n} of its lines are longer than {LONGEST} bytes; left out" for path, n in self._too_long.items()),
            *(f"{path}: it cannot be read to its end: {why}; the rest is left out" for path, why in self._damaged.items()),
        ]

    def _lines(self, file: LogFile) -> Iterator[Timed]:
        """What is asked for of the lines that were not read yet, as they stand in the file."""
        for block in filter(self._asked.may_be_in, file.blocks(self._asked.begin, self._asked.end)):
            yield from self._wanted(file, BytesIO(block))
        self._note(file)

    def _back(self, file: LogFile) -> Iterator[Timed]:
        """What is asked for, by time, the latest first."""
        file.skip()  # at once, and not when the first line is asked for: what comes from now on is for `more`
        blocks = filter(self._asked.may_be_in, file.back(self._asked.begin, self._asked.end))
        lines = (reversed(BytesIO(block).readlines()) for block in blocks)
        return back_in_order(self._wanted(file, chain.from_iterable(lines)))

    def _note(self, file: LogFile) -> None:
        """Takes down what of the file was left out so far."""
        if file.damage:
            self._damaged[file.path] = file.damage
        if file.too_long:
            self._too_long[file.path] = file.too_long

    def _packed(self, file: LogFile, number: int) -> Iterator[Timed]:
        """So many of what is asked for of a compressed file. The first is none, but a time after which the file has no line: so
        it is unpacked only when those of the others do not suffice.
        """
        yield later(moment(datetime.fromtimestamp(file.written, UTC)), SET_BACK), b""
        yield from reversed(deque(in_order(self._lines(file)), maxlen=number))

    def _wanted(self, file: LogFile, lines: Iterable[bytes]) -> Iterator[Timed]:
        for raw in lines:
            try:
                time = time_of(raw)
                wanted = self._asked.wants(time, raw)
            except ValueError:
                if raw.strip():  # a blank line is what is left of one that a full disk had no room for
                    self._strange[file.path] += 1
                continue
            if wanted:
                self.found += 1
                yield time, raw
