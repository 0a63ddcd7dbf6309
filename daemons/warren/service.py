"""The suite as a service of this host: what systemd and Monit are told, in the order in which the two never fight.

`steps` decides, `run` acts.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from warren.errors import Unavailable

UNIT = "warren"
#: Monit's group of services (monit/warren).
_GROUP = "warren"
#: It exists on every host that systemd has booted, and on no other (sd_booted(3)).
_BOOTED = Path("/run/systemd/system")
#: Seconds between two looks at what still goes on while a command runs.
_GLANCE = 0.5


class Action(StrEnum):
    """What may be asked of the suite."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"


class Failure(StrEnum):
    """What it means that a command has failed."""

    DECIDES = "the action has failed"
    NOTED = "somebody ought to know"
    IGNORED = "it had nothing to do"


@dataclass(frozen=True)
class Step:
    """One command. One that is `always` run comes last, also after a failure and after Ctrl-C."""

    words: tuple[str, ...]
    failure: Failure
    always: bool = False


@dataclass(frozen=True)
class Outcome:
    """How it ended: `reason` says why it was not done and is empty otherwise; `notes` are of Monit."""

    reason: str
    notes: tuple[str, ...]


def steps(action: Action, monit: bool) -> tuple[Step, ...]:
    """The commands of an action, in order. `monit`: whether it is installed."""
    # A stop that is meant is no trouble, so Monit looks away before it begins. It does so before it next looks at anything:
    # there is nothing to wait for.
    look_away = Step(("monit", "-g", _GROUP, "unmonitor"), Failure.NOTED)
    # Also after a start that failed: somebody wants the suite to run, so the page has to show red.
    look = Step(("monit", "-g", _GROUP, "monitor"), Failure.NOTED, always=True)
    # Without it, systemd refuses a unit that has failed too often, whatever was mended since.
    forget = Step(("systemctl", "reset-failed", UNIT), Failure.IGNORED)
    systemd = Step(("systemctl", str(action), UNIT), Failure.DECIDES)
    found = {
        Action.START: (forget, systemd, look),
        Action.STOP: (look_away, systemd),
        Action.RESTART: (look_away, forget, systemd, look),
    }[action]
    return tuple(step for step in found if monit or step.words[0] != "monit")


def run(action: Action, glance: Callable[[], None]) -> Outcome:
    """Takes the steps, and calls `glance` every half second until they are done.

    Raises Unavailable on a host without systemd.
    """
    if not _BOOTED.is_dir():
        raise Unavailable(
            f"systemd does not run this host: there is no {_BOOTED}; "
            "without it warren supervise --detach starts the suite, and warren supervise --stop ends it"
        )
    planned = steps(action, shutil.which("monit") is not None)
    reason, notes = "", []
    try:
        for step in planned:
            said = "" if step.always else _failure(step, glance)
            if said and step.failure is Failure.NOTED:
                notes.append(said)
            elif said and step.failure is Failure.DECIDES:
                reason = f"{said}; {_status() or f'see journalctl -u {UNIT}'}"
    finally:
        notes += [said for step in planned if step.always and (said := _failure(step, glance))]
    return Outcome(reason, tuple(notes))


def _failure(step: Step, glance: Callable[[], None]) -> str:
    """Runs one command; what it was and what it said when it failed, in one line, else nothing."""
    # Monit refuses to run in a folder that is gone.
    with subprocess.Popen(step.words, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while True:
            try:
                said, _ = process.communicate(timeout=_GLANCE)
                break
            except subprocess.TimeoutExpired:
                glance()
    if process.returncode == 0:
        return ""
    line = next((line for line in said.splitlines() if line.strip()), f"exit status {process.returncode}")
    return f"{' '.join(step.words)} failed: {line.strip()}"


def _status() -> str:
    """The last status line of the unit: what is wrong with the configuration, for one."""
    words = ("systemctl", "show", "--value", "--property=StatusText", UNIT)
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
