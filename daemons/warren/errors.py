"""The errors of Warren, with one form of message, and the exit code of each kind of failure.

A message says where the error is, what was expected, what was found, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """The exit codes of every `warren` command. The codes from 64 on are those of sysexits.h."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done, or stopped as asked"
    FAILURE = 1, "the command could not do what was asked; the last line says why"
    USAGE = 2, "unknown command or option"
    DATAERR = 65, "the task was sent, and what stands in the place of its result cannot be read"
    UNAVAILABLE = 69, "the broker, or the running suite, could not be reached"
    SOFTWARE = 70, "an error that Warren did not foresee; the log has the traceback"
    CANTCREAT = 73, "a directory or file cannot be written (permission, full disk)"
    RESTART = 75, "the daemon ended to be started again with new settings"
    RUNNING = 76, "another instance of the same daemon already runs on this host"
    CONFIG = 78, "the configuration is wrong; every problem was printed"


#: The meaning of each code, by its number.
MEANINGS = {int(code): code.meaning for code in ExitCode}
#: The codes after which a supervisor does not start the daemon again, because the daemon would end
#: in the same way. 0 is not among them: a daemon that ended gracefully without its supervisor's
#: request (a signal sent by hand) is still wanted.
FINAL = (ExitCode.USAGE, ExitCode.RUNNING, ExitCode.CONFIG)

#: The environment variable by which supervisord tells a daemon that its last process ended
#: gracefully without having been told to.
UNASKED = "WARREN_UNASKED"


class WarrenError(Exception):
    """A failure that Warren foresees.

    The message is for the operator, and the exit code for supervisors.
    """

    exit_code = ExitCode.FAILURE


class Unavailable(WarrenError):
    """The broker or the running suite cannot be reached."""

    exit_code = ExitCode.UNAVAILABLE


class CannotWrite(WarrenError):
    """A directory or file of Warren cannot be written."""

    exit_code = ExitCode.CANTCREAT


class AlreadyRunning(WarrenError):
    """A second instance of a daemon that may run only once on a host."""

    exit_code = ExitCode.RUNNING


class OrphanRemains(WarrenError):
    """A daemon whose supervisor has vanished is still ending.

    Unlike after AlreadyRunning, the start is to be tried again.
    """

    exit_code = ExitCode.RESTART


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file and a line (from 1), or neither for a default."""

    file: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return "default"
        return f"{self.file}:{self.line}" if self.line else str(self.file)


@dataclass(frozen=True)
class Problem:
    """One problem of the configuration.

    `section` and `option` are empty when the problem concerns a whole file or section.
    """

    origin: Origin
    section: str
    option: str
    expected: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        where = " ".join(
            word for word in (f"[{self.section}]" if self.section else "", self.option) if word
        )
        text = (
            f"{self.origin}: {where + ': ' if where else ''}expected {self.expected}, found "
            f"{self.found}"
        )
        return f"{text}; {self.remedy}" if self.remedy else text


class ConfigError(WarrenError):
    """All problems of one configuration, at once."""

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
