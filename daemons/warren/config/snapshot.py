"""The text of a host's settings files at one moment. It is kept so that daemons can read it again.

An edit takes effect when a start of the suite or a reload has checked and accepted it. A daemon
that supervisord starts again reads the accepted text, and not /etc. So an edit that is not accepted
yet, right or wrong, does not reach the daemon.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from warren.errors import Unavailable
from warren.status.validation import misfit
from warren.system import strict_json
from warren.system.regular_file import read_regular

#: The environment variable by which supervise tells a daemon, or a check, where to read the
#: settings. Its value is the path of a file, or STDIN.
ACCEPTED = "WARREN_ACCEPTED"
STDIN = Path("-")
#: The most bytes of such a text that are read: about 100,000 entries of a schedule.
_LARGEST = 1 << 26
_SHAPE = {"generation": int, "files": {str: str}, "secrets": {str: str}}


@dataclass(frozen=True)
class Accepted:
    """The INI files in reading order and the secret files that they name, as they were read.

    generation: orders the readings: the later of two readings has the higher number. 0 means that
    the files are only checked.
    """

    generation: int = 0
    files: Mapping[Path, bytes] = field(default_factory=dict)
    secrets: Mapping[Path, str] = field(default_factory=dict, repr=False)

    def to_text(self) -> str:
        """Return the files as one line of ASCII JSON; bytes that are not UTF-8 are preserved."""
        files = {
            str(path): data.decode("utf-8", "surrogateescape") for path, data in self.files.items()
        }
        secrets = {str(path): text for path, text in self.secrets.items()}
        return json.dumps({"generation": self.generation, "files": files, "secrets": secrets})


def source() -> Path | None:
    """Return where supervise wants this process to read the settings; None means the INI files.

    The first call removes the variable from the environment. So processes that this process starts
    do not inherit it: a command that a task calls reads the INI files like any other command.
    """
    named = os.environ.pop(ACCEPTED, "")
    return Path(named) if named else None


def read(file: Path) -> Accepted:
    """Return the settings that `to_text` wrote to this path. Raises Unavailable.

    A daemon that fails here is started again. By then supervise has written a damaged file again.
    """
    try:
        data = sys.stdin.buffer.read() if file == STDIN else read_regular(file, _LARGEST)[0]
        said = strict_json.loads(data.decode())
        problem = misfit(said, _SHAPE)
    except OSError as error:
        problem = error.strerror or str(error)
    except ValueError:
        problem = "expected JSON, found other text"
    if problem:
        raise Unavailable(
            f"cannot read the settings that the suite has accepted: {file}: {problem}; warren "
            "reload"
        )
    return Accepted(
        said["generation"],
        {
            Path(path): text.encode("utf-8", "surrogateescape")
            for path, text in said["files"].items()
        },
        {Path(path): text for path, text in said["secrets"].items()},
    )


def generation_now() -> int:
    """Return the generation for settings that are read from now on.

    It is the wall clock in microseconds since the epoch.
    """
    return time.time_ns() // 1000
