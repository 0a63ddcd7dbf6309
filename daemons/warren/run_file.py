"""The small files of the run folder in which one process tells all others how it stands: JSON, whole at any moment.

Their times are seconds of CLOCK_BOOTTIME: it goes on while the machine sleeps, and no step of the wall clock moves it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Published:
    """What such a file said, or why it says nothing."""

    said: dict[str, Any] | None
    trouble: str = ""

    def age(self, now: float) -> float:
        """Seconds since it was written."""
        return max(0.0, now - self.said["at"]) if self.said else 0.0


def now() -> float:
    """Seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write(path: Path, said: Mapping[str, object]) -> None:
    """Replaces a file that has one writer. Raises OSError, and then the old one stands."""
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(said), encoding="utf-8")
        os.replace(fresh, path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()  # what was written of it may be the room that others need
        raise


def read(path: Path, *needed: str) -> Published:
    """What the file says, with `at` and all that is `needed`. Raises nothing."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return Published(None, f"{path}: {error.strerror}")
    except ValueError:
        return Published(None, f"{path}: expected JSON, found other text")
    if not isinstance(said, dict) or not {"at", *needed} <= said.keys():
        return Published(None, f"{path}: expected {', '.join(('at', *needed))}, found other keys")
    return Published(said)
