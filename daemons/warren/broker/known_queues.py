"""The queues that this host's settings have or once had.

A queue whose section was removed may still hold messages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from warren.broker.embedded.filesystem import write_whole
from warren.system.regular_file import read_regular


class KnownQueues:
    """The names of the queues, kept in a file that outlives the suite."""

    def __init__(self, path: Path, declared: Collection[str]) -> None:
        self._path = path
        self._declared = frozenset(declared)
        self._known = _read(path)
        self._keep(self._known | self._declared)

    @property
    def removed(self) -> list[str]:
        """Return the queues without a section that still existed at the last look at the broker."""
        return sorted(self._known - self._declared)

    def gone(self, queue: str) -> None:
        """Forget a queue that the broker no longer has."""
        if queue not in self._declared:
            self._keep(self._known - {queue})

    def _keep(self, names: frozenset[str]) -> None:
        before, self._known = self._known, names
        if names != before:
            with suppress(OSError):  # on a full disk this process alone knows the names
                temp = f"{self._path}.{os.getpid()}"
                write_whole(
                    str(self._path), temp, json.dumps(sorted(names)).encode(), durable=False
                )


def _read(path: Path) -> frozenset[str]:
    try:
        found = json.loads(read_regular(path)[0])
    except (OSError, ValueError, RecursionError):
        return frozenset()
    return (
        frozenset(each for each in found if isinstance(each, str))
        if isinstance(found, list)
        else frozenset()
    )
