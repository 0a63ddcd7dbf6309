"""What beat remembers over a restart on the embedded broker: the last tick of each entry that was taken care of."""

from __future__ import annotations

import json
import math
from pathlib import Path

from warren.atomic_write import replace_file
from warren.regular_file import make_directory, read_regular

#: Bytes of the file; those of a hundred thousand entries are fewer.
_LARGEST = 1 << 24


class Memory:
    """A small file, replaced whole and made durable at each tick."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, ticks: dict[str, float]) -> None:
        """Remembers these ticks (seconds since the epoch, by entry). Raises OSError when they cannot be written."""
        make_directory(self.path.parent)
        # On disk before the tick is sent: after a loss of power nobody may send it again.
        replace_file(self.path, json.dumps(ticks), durable=True)

    def read(self) -> dict[str, float]:
        """The ticks that were written last; none when there is no such file, or not one of ours."""
        try:
            return parse(read_regular(self.path, _LARGEST)[0])
        except OSError:
            return {}


def parse(text: str | bytes) -> dict[str, float]:
    """The last ticks as JSON has them; none when it is not ours, in which case each entry begins with its next tick.

    Making up for ticks that are not known would send some of them twice.
    """
    try:
        ticks = {str(entry): float(tick) for entry, tick in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return {}
    return ticks if all(map(math.isfinite, ticks.values())) else {}
