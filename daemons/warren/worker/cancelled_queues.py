"""Which of its queues remote control has cancelled, in a file: a worker that was killed comes back without them.

The list is forgotten at an orderly end, for somebody has asked for that, and the worker's settings say what it takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from warren.logs.events import Event
from warren.logs.setup import get
from warren.system.atomic_write import replace_file
from warren.system.regular_file import make_directory, read_regular, remove_any


class Cancelled:
    """The file of one worker."""

    def __init__(self, folder: Path, program: str) -> None:
        self._path = folder / f"{program}.cancelled"

    def read(self) -> set[str]:
        """Return the queues; none where the file is not there, or not what it was."""
        try:
            said = json.loads(read_regular(self._path)[0])
        except (OSError, ValueError, RecursionError):
            return set()
        return {each for each in said if isinstance(each, str)} if isinstance(said, list) else set()

    def write(self, queues: Iterable[str]) -> None:
        """Keep these queues. What cannot be written is told, and holds for as long as this process lives."""
        try:
            make_directory(self._path.parent)
            replace_file(self._path, json.dumps(sorted(queues)), mode=0o600)
        except OSError as error:
            consequence = "a worker that is killed takes from its cancelled queues again"
            get().error(Event.CANNOT_WRITE, path=str(self._path), reason=error.strerror, consequence=consequence)

    def forget(self) -> None:
        """Keep none."""
        try:
            remove_any(self._path)
        except OSError:
            self.write(())
