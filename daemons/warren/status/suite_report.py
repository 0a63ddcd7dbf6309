"""The status of the suite and of its programs, as supervisord publishes it in programs.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from warren.errors import ExitCode
from warren.status.activity import Doing
from warren.status.condition import Condition
from warren.system.process import Process

#: Seconds without a sign of life of supervisord after which its report is old. supervisord reports
#: each second.
OLD = 15.0


@dataclass(frozen=True)
class ProgramStatus:
    """The status of one program.

    state: supervisord's state. since: when this state began. condition: what the program does.
    condition_since: when this condition began. Both times are in seconds of CLOCK_BOOTTIME. ready:
    whether the program does its work. restarts: the number of starts after the first start.
    last_error: how the program ended last, or why it could not start, or why its heartbeat cannot
    be read; empty when there is no error. warning: what is wrong although the program works.
    expected: whether the suite counts on the program; False for an operator's own program.
    """

    program: str
    state: str
    pid: int | None
    since: float
    condition: Condition
    condition_since: float
    ready: bool
    backing_off: bool
    restarts: int = 0
    last_error: str = ""
    warning: str = ""
    expected: bool = True


class Judged(Protocol):
    """The part of a program's status from which the readiness of the suite follows."""

    @property
    def ready(self) -> bool:
        """Return whether the program does its work."""

    @property
    def expected(self) -> bool:
        """Return whether the suite counts on the program."""


def all_ready(programs: Sequence[Judged]) -> bool:
    """Return whether every program on which the suite counts does its work."""
    return all(program.ready for program in programs if program.expected)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one reload.

    begun: when the check of the reload began, in seconds of CLOCK_BOOTTIME; the reload has read
    every edit from before this time. outcome: one of applied, late (the settings are in force, but
    `problems` says what is not ready), refused (nothing was changed) and failed (a worker did not
    come back, and the workers after it were left alone). code: an ExitCode.
    """

    begun: float
    outcome: str
    problems: list[str] = field(default_factory=list)
    code: int = int(ExitCode.OK)


@dataclass(frozen=True)
class Restarted:
    """The outcome of one rolling restart.

    done: the programs that are back. problems: why the other programs are not back. begun:
    identifies the restart; when it began, in seconds of CLOCK_BOOTTIME.
    """

    begun: float
    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    code: int = int(ExitCode.OK)


@dataclass(frozen=True)
class Report:
    """The content of programs.json.

    process: the supervisord that has written the file. state: starting, running, reloading or
    stopping. status: the line of STATUS. doing: what the suite does besides its work.
    """

    process: Process
    state: str
    status: str
    programs: list[ProgramStatus]
    reloads: list[Outcome] = field(default_factory=list)
    restarts: list[Restarted] = field(default_factory=list)
    doing: Doing | None = None


@dataclass(frozen=True)
class Reading:
    """One reading of programs.json: its content, and what the content is worth.

    report: None when the file cannot be read. last_error: why the file cannot be read. alive:
    whether the process that has written the file still runs. silence: the seconds since the
    writer's last sign of life, which is only a touch of the file when the disk is full.
    """

    report: Report | None
    last_error: str = ""
    missing: bool = False
    alive: bool = False
    silence: float = 0.0

    @property
    def old(self) -> bool:
        """Return whether supervisord has been silent for so long that it counts as hung."""
        return self.silence > OLD

    @property
    def known(self) -> Report | None:
        """Return the report if it says how the suite is now.

        Returns None when the report is old, or when its supervisord has ended: then nothing is
        known.
        """
        return self.report if self.alive and not self.old else None
