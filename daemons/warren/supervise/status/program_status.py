"""programs.json in the run directory: the status of the suite.

A reader of this file need not ask supervisord.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from warren.errors import ExitCode
from warren.status import status_file
from warren.status.status_file import now
from warren.status.validation import NUMBER
from warren.supervise.status.activity import Doing
from warren.supervise.status.summary import ProgramStatus, as_json
from warren.system.process import Process, current_process

NAME = "programs.json"
#: Seconds between two writes when nothing changes.
PAUSE = 1.0
_REMEMBERED = 8
_OUTCOME = {"begun": NUMBER, "outcome": str, "problems": [str], "code": int}
_RESTARTED = {"begun": NUMBER, "done": [str], "problems": [str], "code": int}
_DOING = {"what": str, "since": NUMBER, "then": [str]}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one reload.

    `begun` is the second of CLOCK_BOOTTIME at which its check began: it has read every earlier
    edit. `outcome` is applied, late (in force, but `problems` says what is not ready), refused
    (nothing was changed) or failed (a worker did not come back, and those after it were left
    alone). `code` is an ExitCode.
    """

    begun: float
    outcome: str
    problems: list[str] = field(default_factory=list)
    code: int = int(ExitCode.OK)


@dataclass(frozen=True)
class Restarted:
    """The outcome of one rolling restart.

    `done` are the programs that are back, `problems` says why the others are not. `begun` names the
    restart.
    """

    begun: float
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    code: int = int(ExitCode.OK)


@dataclass(frozen=True)
class Report:
    """The content of programs.json.

    `process` has written the file at the second `at` of CLOCK_BOOTTIME.
    """

    process: Process
    at: float
    state: str
    status: str
    programs: list[dict[str, Any]]
    reloads: list[Outcome]
    restarts: list[Restarted] = field(default_factory=list)
    doing: Doing | None = None

    @property
    def age(self) -> float:
        """Return the seconds since the file was written."""
        return max(0.0, now() - self.at)


class Programs:
    """The writer of programs.json in one run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / NAME
        self._reloads: deque[Outcome] = deque(maxlen=_REMEMBERED)
        self._restarts: deque[Restarted] = deque(maxlen=_REMEMBERED)
        self._written: dict[str, Any] = {}
        self._at = float("-inf")

    def note(self, outcome: Outcome) -> None:
        """Keep the outcome of a reload; the last few are in the file."""
        self._reloads.append(outcome)

    def note_restart(self, restarted: Restarted) -> None:
        """Keep the outcome of a rolling restart; the last few are in the file."""
        self._restarts.append(restarted)

    def write(
        self,
        state: str,
        status: str,
        program_statuses: Sequence[ProgramStatus],
        doing: Doing | None = None,
    ) -> None:
        """Write the file, whole, when something has changed or a second has passed.

        Raises OSError.
        """
        me = current_process()
        content = {
            "pid": me.pid,
            "start": me.start,
            "state": state,
            "status": status,
            "programs": [as_json(each) for each in program_statuses],
            "reloads": [asdict(outcome) for outcome in self._reloads],
            "restarts": [asdict(restarted) for restarted in self._restarts],
            "doing": asdict(doing) if doing else None,
        }
        at = now()
        if content == self._written and at - self._at < PAUSE:
            return
        status_file.write(self._path, {"at": at, **content})
        self._written, self._at = content, at


def read(run_dir: Path) -> Report | None:
    """Return the latest report of the suite in this run directory; None when none can be read."""
    shapes = {
        "pid": int,
        "start": int,
        "state": str,
        "status": str,
        "programs": [{"program": str}],
        "reloads": [_OUTCOME],
    }
    content = status_file.read(
        run_dir / NAME, **shapes, **{"restarts?": [_RESTARTED], "doing?": (_DOING, None)}
    ).said
    if content is None:
        return None
    doing = content.get("doing")
    return Report(
        Process(content["pid"], content["start"]),
        content["at"],
        content["state"],
        content["status"],
        content["programs"],
        [Outcome(**{name: each[name] for name in _OUTCOME}) for each in content["reloads"]],
        [
            Restarted(**{name: each[name] for name in _RESTARTED})
            for each in content.get("restarts", ())
        ],
        Doing(doing["what"], doing["since"], tuple(doing["then"])) if doing else None,
    )


def remove(run_dir: Path) -> None:
    """Remove the file: a suite that has stopped cleanly has no status."""
    with suppress(OSError):
        (run_dir / NAME).unlink()
