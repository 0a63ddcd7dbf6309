"""What the files of a host's settings said at one moment, so that it can be checked, kept and read again as it was.

An edit counts once it was checked and taken up, by a start of the suite or by a reload. A daemon that supervisord starts again
reads what was accepted, and not /etc: an edit that nobody has taken up yet, right or wrong, does not reach it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from warren import strict_json
from warren.errors import Unavailable
from warren.regular_file import read_regular
from warren.shape import misfit

#: Where supervise tells a daemon, or a check, to read the settings from: a file, or STDIN.
ACCEPTED = "WARREN_ACCEPTED"
STDIN = Path("-")
#: Bytes of such a text that are read: some 100,000 entries of a schedule.
_LARGEST = 1 << 26
_SHAPE = {"generation": int, "files": {str: str}, "secrets": {str: str}}


@dataclass(frozen=True)
class Accepted:
    """The INI files in their order and the secret files that they name, as they were read.

    `generation` orders them: of two readings the later one has the higher number. 0: they are to be checked only.
    """

    generation: int = 0
    files: Mapping[Path, bytes] = field(default_factory=dict)
    secrets: Mapping[Path, str] = field(default_factory=dict, repr=False)

    def to_text(self) -> str:
        """Return all of it as one line of JSON in ASCII; bytes that are no UTF-8 come back as they were."""
        files = {str(path): data.decode("utf-8", "surrogateescape") for path, data in self.files.items()}
        secrets = {str(path): text for path, text in self.secrets.items()}
        return json.dumps({"generation": self.generation, "files": files, "secrets": secrets})


def source() -> Path | None:
    """Return where supervise wants this process to read the settings; None, of the INI files themselves. Asked once.

    What this process starts is not told: a command that a task calls reads the files as everybody does.
    """
    named = os.environ.pop(ACCEPTED, "")
    return Path(named) if named else None


def read(place: Path) -> Accepted:
    """Return what `to_text` has put there. Raises Unavailable.

    Whoever asks is tried again, for supervise writes a file again that somebody has spoilt.
    """
    try:
        data = sys.stdin.buffer.read() if place == STDIN else read_regular(place, _LARGEST)[0]
        said = strict_json.loads(data.decode())
        problem = misfit(said, _SHAPE)
    except OSError as error:
        problem = error.strerror or str(error)
    except ValueError:
        problem = "expected JSON, found other text"
    if problem:
        raise Unavailable(f"cannot read the settings that the suite has accepted: {place}: {problem}; warren reload")
    return Accepted(
        said["generation"],
        {Path(path): text.encode("utf-8", "surrogateescape") for path, text in said["files"].items()},
        {Path(path): text for path, text in said["secrets"].items()},
    )


def generation_now() -> int:
    """Return the generation of what is read from now on: the microsecond of the wall clock."""
    return time.time_ns() // 1000
