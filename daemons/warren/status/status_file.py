"""The small files of the run directory by which one process publishes its status: JSON, always
whole.

Their times are seconds of CLOCK_BOOTTIME. This clock continues while the machine sleeps, and no
step of the wall clock changes it.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from warren.status.validation import NUMBER, Shape, misfit
from warren.system import strict_json
from warren.system.atomic_write import replace_file
from warren.system.regular_file import LARGEST, TooLarge, read_regular

Record = TypeVar("Record")


@dataclass(frozen=True)
class Published:
    """The content of such a file, or why it cannot be read.

    `stamp` is the time of its last change, in ns of the wall clock.
    """

    said: dict[str, Any] | None
    last_error: str = ""
    stamp: int = 0
    missing: bool = False

    def age(self, now: float) -> float:
        """Return the seconds since the file was written."""
        return max(0.0, now - self.said["at"]) if self.said else 0.0

    @property
    def silence(self) -> float:
        """Return the seconds since the writer's last sign of life, a touch of the file included."""
        return silence(self.said["at"], self.stamp) if self.said else 0.0


def silence(at: float, stamp: int) -> float:
    """Return the seconds since the sign of life of a file's writer, from this time and this
    stamp.
    """
    written, touched = now() - at, time.time() - stamp / 1e9
    # On a full disk a file is only touched, and the stamp is of the wall clock. A stamp in the
    # future comes from before a step of the wall clock.
    return max(0.0, min(written, touched) if touched >= 0 else written)


def record(kind: type[Record], content: Mapping[str, Any]) -> Record:
    """Return the record of the fields that this version knows; another may have written more."""
    known = {each.name for each in fields(kind)} & content.keys()  # type: ignore[arg-type]
    return kind(**{name: content[name] for name in known})


def now() -> float:
    """Return the seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write(path: Path, content: Mapping[str, object]) -> None:
    """Replace a file that has one writer.

    Raises OSError, also TooLarge, and then the old file stays. The old file is touched then, which
    needs no room: a full disk must not make its writer look like a process that hangs.
    """
    # Imported here so that only writers pay for it: `warren health` reads, once a cycle.
    from warren.redaction.masker import redact_texts, suspicious

    text = json.dumps(content)
    if suspicious(text):  # errors quote the text of others, and monitors and mails repeat it
        text = json.dumps(redact_texts(dict(content)))
    try:
        if len(text) > LARGEST:  # the text is ASCII, so these are bytes as well
            raise TooLarge(errno.EFBIG, f"larger than {LARGEST} bytes", str(path))
        replace_file(path, text)
    except OSError:
        with suppress(OSError):
            os.utime(path, follow_symlinks=False)
        raise


def read(path: Path, **needed: Shape) -> Published:
    """Return the content of the file if it has `at` and all that is `needed`, in these shapes.

    Raises nothing, and never waits.
    """
    try:
        # Both come from one open file: another process may replace the file at any moment.
        text, status = read_regular(path)
        content = strict_json.loads(text.decode())
    except OSError as error:
        return Published(
            None, f"{path}: {error.strerror}", missing=isinstance(error, FileNotFoundError)
        )
    except ValueError:
        return Published(None, f"{path}: expected JSON, found other text")
    problem = misfit(content, {"at": NUMBER, **needed})
    return (
        Published(None, f"{path}: {problem}")
        if problem
        else Published(content, "", status.st_mtime_ns)
    )
