"""programs.json in the run directory: its shape, its writer and its reader.

supervisord judges whether each program is ready, and writes the judgement to this file. Every
reader shows this judgement: a reader neither asks supervisord nor judges again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from warren.status import status_file
from warren.status.activity import Doing
from warren.status.condition import Condition
from warren.status.status_file import now, record
from warren.status.suite_report import Outcome, ProgramStatus, Reading, Report, Restarted
from warren.status.validation import NUMBER, Shape
from warren.system.process import Process, current_process
from warren.system.run_lock import holder

#: The file's name in the run directory.
NAME = "programs.json"
#: Seconds between two writes when nothing changes.
PAUSE = 1.0
_REMEMBERED = 8


_PROGRAM: Shape = {
    "program": str,
    "state": str,
    "pid": (int, None),
    "since": NUMBER,
    "condition": str,
    "condition_since": NUMBER,
    "ready": bool,
    "backing_off": bool,
    "restarts?": int,
    "last_error?": str,
    "warning?": str,
    "expected?": bool,
}
_OUTCOME: Shape = {"begun": NUMBER, "outcome": str, "problems": [str], "code": int}
_RESTARTED: Shape = {"begun": NUMBER, "done": [str], "problems": [str], "code": int}
_DOING: Shape = {"what": str, "since": NUMBER, "then": [str]}
_SHAPE: dict[str, Shape] = {
    "pid": int,
    "start": int,
    "state": str,
    "status?": str,
    "programs": [_PROGRAM],
    "reloads?": [_OUTCOME],
    "restarts?": [_RESTARTED],
    "doing?": (_DOING, None),
}


class ProgramsWriter:
    """The writer of programs.json in one run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / NAME
        self._reloads: deque[Outcome] = deque(maxlen=_REMEMBERED)
        self._restarts: deque[Restarted] = deque(maxlen=_REMEMBERED)
        self._written: dict[str, Any] = {}
        self._at = float("-inf")

    def note(self, outcome: Outcome) -> None:
        """Keep the outcome of a reload. The file holds the last few outcomes."""
        self._reloads.append(outcome)

    def note_restart(self, restarted: Restarted) -> None:
        """Keep the outcome of a rolling restart. The file holds the last few outcomes."""
        self._restarts.append(restarted)

    def write(
        self,
        state: str,
        status: str,
        programs: Sequence[ProgramStatus],
        doing: Doing | None = None,
    ) -> None:
        """Write the whole file if something has changed or a second has passed since the last
        write.

        Raises OSError.
        """
        me = current_process()
        content = {
            "pid": me.pid,
            "start": me.start,
            "state": state,
            "status": status,
            "programs": [asdict(program) for program in programs],
            "reloads": [asdict(outcome) for outcome in self._reloads],
            "restarts": [asdict(restarted) for restarted in self._restarts],
            "doing": asdict(doing) if doing else None,
        }
        at = now()
        if content == self._written and at - self._at < PAUSE:
            return
        status_file.write(self._path, {"at": at, **content})
        self._written, self._at = content, at


def read(run_dir: Path) -> Reading:
    """Return the last report of the suite in this run directory. Raises nothing."""
    found = status_file.read(run_dir / NAME, **_SHAPE)
    if found.said is None:
        return Reading(None, found.last_error, found.missing)
    report = _report(found.said)
    return Reading(report, alive=_lives(run_dir, report.process), silence=found.silence)


def _lives(run_dir: Path, supervisor: Process) -> bool:
    """Return whether the supervisord that has written the file still runs.

    /proc alone cannot tell. With hidepid=2 or ProtectProc=, /proc hides processes. A supervisord in
    another user namespace (PrivateUsers=) is then hidden, even from a process of the same user; the
    unit's own reload is such a process. But the lock of the run directory names its holder.
    """
    if supervisor.alive:  # asked first: the holder of the lock must not ask about the lock
        return True
    with suppress(OSError):
        return holder(run_dir) == supervisor.pid
    return False


def _report(content: dict[str, Any]) -> Report:
    doing = content.get("doing")
    return Report(
        Process(content["pid"], content["start"]),
        content["state"],
        content.get("status", ""),
        [_program(each) for each in content["programs"]],
        [record(Outcome, each) for each in content.get("reloads", ())],
        [record(Restarted, each) for each in content.get("restarts", ())],
        Doing(doing["what"], doing["since"], tuple(doing["then"])) if doing else None,
    )


def _program(entry: dict[str, Any]) -> ProgramStatus:
    return record(ProgramStatus, entry | {"condition": Condition.of(entry["condition"])})


def remove(run_dir: Path) -> None:
    """Remove the file, because a suite that has stopped cleanly has no status."""
    with suppress(OSError):
        (run_dir / NAME).unlink()
