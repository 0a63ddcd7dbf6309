"""The status of the suite and of its programs, as supervisord publishes it in programs.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from warren.errors import ExitCode
from warren.status.activity import Doing
from warren.status.condition import Condition
from warren.system.process import Process

#: Seconds without a sign of life of supervisord after which its report is old. It reports each
#: second.
OLD = 15.0


@dataclass(frozen=True)
class ProgramStatus:
    """The status of one program.

    `state` is supervisord's state, `since` the second of CLOCK_BOOTTIME at which it began.
    `condition` is what the program does, `condition_since` the second at which that began, and
    `ready` whether it does its work. `restarts` counts the starts after the first one. `last_error`
    says how the program ended last, why it could not start, or why its heartbeat cannot be read;
    empty when there is nothing to say. `warning` says what is wrong although it works. `expected`
    says whether the suite counts on the program: not on an operator's own programs.
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
    """A program as far as the readiness of the suite needs it."""

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
    """The content of programs.json, which `process` has written.

    `state` is starting, running, reloading or stopping; `status` is the line of STATUS. `doing` is
    the activity beside the work.
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

    `report` is None when the file cannot be read, and `last_error` says why. `alive`: the process
    that has written it runs. `silence` is the seconds since the last sign of life of its writer: on
    a full disk supervisord only touches the file.
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
        """Return the report when it says how the suite is now.

        Return None when it is old, or when its supervisord has ended: nothing is known then.
        """
        return self.report if self.alive and not self.old else None
