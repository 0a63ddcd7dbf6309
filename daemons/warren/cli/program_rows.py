"""The programs of this host, with supervisord's judgement and the heartbeat of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from warren.config import Settings
from warren.control.supervisord_client import Program, programs
from warren.status import heartbeat, programs_file
from warren.status.condition import Condition
from warren.status.heartbeat import Heartbeat
from warren.status.suite_report import ProgramStatus, Report

#: Seconds that the report may be older than supervisord's own answer; it is written each second.
_TIMEOUT = 3.0
_PAUSE = 0.05


@dataclass(frozen=True)
class ProgramRow:
    """The status of one program.

    condition: what the program does. ready: whether it does its work. Both are supervisord's
    judgement (programs_file.py). heartbeat: the state that the main loop reports (heartbeat.py);
    empty without a heartbeat. heartbeat_age_s: seconds. last_error: how the program ended last, or
    why it could not start, or why its heartbeat cannot be read. backing_off: whether the program
    has ended so often that it is now started rarely. expected: False for an operator's own program,
    on which the suite does not count.
    """

    program: str
    state: str
    pid: int | None
    heartbeat: str
    heartbeat_age_s: float | None
    details: dict[str, Any]
    backing_off: bool = False
    last_error: str = ""
    warning: str = ""
    condition: Condition = Condition.UNKNOWN
    ready: bool = False
    expected: bool = True


def program_status(settings: Settings) -> list[ProgramRow]:
    """Return each program with its heartbeat and supervisord's judgement. Raises Unavailable.

    A program is UNKNOWN and not ready until supervisord has judged it after its last change.
    """
    asked, published = _published(settings)
    heartbeats = heartbeat.read(settings.app.run_dir, [each.program for each in asked])
    return [
        _row(
            program,
            published.get(program.program),
            heartbeats.by_program.get(program.program),
            heartbeats.errors_found.get(program.program, ""),
        )
        for program in asked
    ]


def _published(settings: Settings) -> tuple[list[Program], dict[str, ProgramStatus]]:
    """Return every program as supervisord answers, and the published status of each.

    supervisord publishes a change at the end of the tick in which the change happens. So the
    published report may be a second behind the answer.
    """
    deadline = time.monotonic() + _TIMEOUT
    while True:
        asked = programs(settings)
        report = programs_file.read(settings.app.run_dir).known
        published = _matching(asked, report)
        if report is None or len(published) == len(asked) or time.monotonic() > deadline:
            return asked, published
        time.sleep(_PAUSE)


def _matching(asked: Sequence[Program], report: Report | None) -> dict[str, ProgramStatus]:
    """Return the published status of each program that has not changed since the report."""
    live = {program.program: (program.state, program.pid) for program in asked}
    return {
        each.program: each
        for each in (report.programs if report else ())
        if live.get(each.program) == (each.state, each.pid)
    }


def _row(
    program: Program, status: ProgramStatus | None, latest: Heartbeat | None, unreadable: str
) -> ProgramRow:
    if latest is not None and latest.process.pid != program.pid:
        latest = None  # the heartbeat of an earlier process says nothing about this process
    row = ProgramRow(
        program.program,
        program.state,
        program.pid,
        latest.state if latest else "",
        round(latest.age, 3) if latest else None,
        latest.details if latest else {},
        last_error=unreadable or program.last_error,
    )
    if status is None:
        return row
    return replace(
        row,
        backing_off=status.backing_off,
        last_error=unreadable or status.last_error or program.last_error,
        warning=status.warning,
        condition=status.condition,
        ready=status.ready,
        expected=status.expected,
    )
