"""The small JSON files of the run directory by which one process publishes its status.

Each file is always whole. Its times are seconds of CLOCK_BOOTTIME: this clock continues while the
machine sleeps, and no step of the wall clock changes it.
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
    """The content of a status file, or the reason why the file cannot be read.

    stamp: the time of the file's last change, in ns of the wall clock.
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
        """Return the seconds since the writer's last sign of life.

        A touch of the file is a sign of life, too.
        """
        return silence(self.said["at"], self.stamp) if self.said else 0.0


def silence(at: float, stamp: int) -> float:
    """Return the seconds since the last sign of life of a file's writer.

    at: the time in the file, in seconds of CLOCK_BOOTTIME. stamp: the time of the file's last
    change, in ns of the wall clock.
    """
    written, touched = now() - at, time.time() - stamp / 1e9
    # On a full disk the writer only touches the file, and the stamp is of the wall clock. A stamp
    # in the future was made before a step of the wall clock.
    return max(0.0, min(written, touched) if touched >= 0 else written)


def record(kind: type[Record], content: Mapping[str, Any]) -> Record:
    """Return a record of this kind from the content.

    A field that this version does not know is left out: another version may have written more.
    """
    known = {each.name for each in fields(kind)} & content.keys()  # type: ignore[arg-type]
    return kind(**{name: content[name] for name in known})


def now() -> float:
    """Return the time now, in seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write(path: Path, content: Mapping[str, object]) -> None:
    """Replace a file that has one writer.

    Raises OSError, also TooLarge. Then the old file stays and is touched, which needs no room: its
    writer must not look hung because of a full disk.
    """
    # Imported here so that only writers pay for the import: `warren health` reads each cycle.
    from warren.redaction.masker import redact_texts, suspicious

    text = json.dumps(content)
    if suspicious(text):  # errors quote foreign text, and monitors and mails repeat the errors
        text = json.dumps(redact_texts(dict(content)))
    try:
        if len(text) > LARGEST:  # the text is ASCII, so characters are bytes
            raise TooLarge(errno.EFBIG, f"larger than {LARGEST} bytes", str(path))
        replace_file(path, text)
    except OSError:
        with suppress(OSError):
            os.utime(path, follow_symlinks=False)
        raise


def read(path: Path, **needed: Shape) -> Published:
    """Return the content of the file if `at` and all of `needed` are there, in these shapes.

    Raises nothing, and never waits.
    """
    try:
        # Text and status come from one open file: another process may replace the file at any
        # moment.
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
