"""The small files of the run folder in which one process tells all others how it stands: JSON, whole at any moment.

Their times are seconds of CLOCK_BOOTTIME: it goes on while the machine sleeps, and no step of the wall clock moves it.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warren.status.validation import NUMBER, Shape, misfit
from warren.system import strict_json
from warren.system.atomic_write import replace_file
from warren.system.regular_file import LARGEST, TooLarge, read_regular


@dataclass(frozen=True)
class Published:
    """What such a file said, or why it says nothing; `stamp` is when it was changed last, in ns of the wall clock."""

    said: dict[str, Any] | None
    trouble: str = ""
    stamp: int = 0
    missing: bool = False

    def age(self, now: float) -> float:
        """Seconds since it was written."""
        return max(0.0, now - self.said["at"]) if self.said else 0.0

    @property
    def silence(self) -> float:
        """Seconds since its writer showed life, also by what it could not write."""
        return silence(self.said["at"], self.stamp) if self.said else 0.0


def silence(at: float, stamp: int) -> float:
    """Seconds since the writer of a file with this time and this stamp showed life."""
    written, touched = now() - at, time.time() - stamp / 1e9
    # On a full disk a file is only touched, which the wall clock stamps. A stamp of the future is older than a step of it.
    return max(0.0, min(written, touched) if touched >= 0 else written)


def now() -> float:
    """Seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write(path: Path, said: Mapping[str, object]) -> None:
    """Replaces a file that has one writer. Raises OSError, TooLarge among them, and then the old one stands.

    It is touched then, which needs no room: a full disk must not make its writer look like one that hangs.
    """
    from warren.redaction.masker import redact_texts, suspicious  # only writers pay for it: `warren health` reads, once a cycle

    text = json.dumps(said)
    if suspicious(text):  # what went wrong, in words of others: monitors and mails repeat it
        text = json.dumps(redact_texts(dict(said)))
    try:
        if len(text) > LARGEST:  # of ASCII, so bytes as well
            raise TooLarge(errno.EFBIG, f"larger than {LARGEST} bytes", str(path))
        replace_file(path, text)
    except OSError:
        with suppress(OSError):
            os.utime(path, follow_symlinks=False)
        raise


def read(path: Path, **needed: Shape) -> Published:
    """Return what the file says, with `at` and all that is `needed`, in these shapes. Raises nothing, and never waits."""
    try:
        text, status = read_regular(path)  # one file for both: another may replace it at any moment
        said = strict_json.loads(text.decode())
    except OSError as error:
        return Published(None, f"{path}: {error.strerror}", missing=isinstance(error, FileNotFoundError))
    except ValueError:
        return Published(None, f"{path}: expected JSON, found other text")
    problem = misfit(said, {"at": NUMBER, **needed})
    return Published(None, f"{path}: {problem}") if problem else Published(said, "", status.st_mtime_ns)
