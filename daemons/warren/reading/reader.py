"""What was asked for, out of every file of some folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from warren.reading.files import LogFile, LogFolder
from warren.reading.line import time_of
from warren.reading.order import Timed, merged
from warren.reading.selection import Selection


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

    def there(self) -> Iterator[Timed]:
        """The lines that the files have, by time."""
        return merged(self._lines(file) for folder in self._folders for file in folder.files)

    def more(self) -> Iterator[Timed]:
        """The lines that came since, by time among themselves."""
        return merged(self._lines(file) for folder in self._folders for file in folder.grown())

    def troubles(self) -> list[str]:
        """What could not be read so far, a sentence each."""
        return [
            *(f"{path}: expected one JSON object a line, found {n} that are none; left out" for path, n in self._strange.items()),
            *(f"{path}: expected to read to its end, found: {why}; the rest is left out" for path, why in self._damaged.items()),
        ]

    def _lines(self, file: LogFile) -> Iterator[Timed]:
        for raw in file.lines():
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
        if file.damage:
            self._damaged[file.path] = file.damage
