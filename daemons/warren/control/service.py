"""The suite as a service of this host: the commands for systemd and Monit.

Their order keeps systemd and Monit from working against each other. `steps` decides, `run` acts.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from warren.config.reader import DEFAULT_DIRECTORY
from warren.errors import Unavailable
from warren.system.printable import one_line

UNIT = "warren"
#: Monit's group of services (monit/warren).
_GROUP = "warren"
#: A directory that exists on every host that systemd has booted, and on no other host
#: (sd_booted(3)).
_BOOTED = Path("/run/systemd/system")
#: The PATH for programs that root runs. The shell's PATH is not used: it may name a relative
#: directory, or a directory of the suite's user. From there root would run a file that a task has
#: put there as `systemctl`.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Seconds between two calls of the progress function while a command runs.
_GLANCE = 0.5
#: The timeout for an answer of systemd, in seconds.
_ANSWER = 10.0


class Action(StrEnum):
    """The actions on the suite."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"


class Failure(StrEnum):
    """The meaning of a command's failure."""

    DECIDES = "the action has failed"
    NOTED = "somebody ought to know"
    IGNORED = "it had nothing to do"


@dataclass(frozen=True)
class Step:
    """One command of an action.

    always: whether the command runs after all others in any case, even after a failure or Ctrl-C.
    """

    arguments: tuple[str, ...]
    failure: Failure
    always: bool = False


@dataclass(frozen=True)
class Outcome:
    """The end of an action.

    reason: why the action failed; empty after a success. notes: what Monit's commands have said.
    """

    reason: str
    notes: tuple[str, ...]


def steps(action: Action, monit: bool) -> tuple[Step, ...]:
    """Return the commands of an action in their order.

    monit: whether Monit is installed.
    """
    # A stop on purpose is not an error, so Monit stops monitoring before the suite stops. Monit
    # obeys before its next check, so there is nothing to wait for.
    look_away = Step(("monit", "-g", _GROUP, "unmonitor"), Failure.NOTED)
    # This also runs after a failed start: the operator wants the suite to run, so Monit's page must
    # show red.
    look = Step(("monit", "-g", _GROUP, "monitor"), Failure.NOTED, always=True)
    # Without this, systemd would refuse to start a unit that has failed too often, even after a
    # repair.
    forget = Step(("systemctl", "reset-failed", UNIT), Failure.IGNORED)
    systemd = Step(("systemctl", str(action), UNIT), Failure.DECIDES)
    found = {
        Action.START: (forget, systemd, look),
        Action.STOP: (look_away, systemd),
        Action.RESTART: (look_away, forget, systemd, look),
    }[action]
    return tuple(step for step in found if monit or step.arguments[0] != "monit")


def run(action: Action, glance: Callable[[], None]) -> Outcome:
    """Run the commands of an action, and call `glance` every half second until they are done.

    Raises Unavailable on a host without systemd.
    """
    if not _BOOTED.is_dir():
        raise Unavailable(
            f"systemd does not run this host: there is no {_BOOTED}; use warren supervise --detach "
            "to start the suite, and warren supervise --stop to end the suite"
        )
    planned = steps(action, shutil.which("monit", path=PATH) is not None)
    reason, notes = "", []
    try:
        for step in planned:
            said = "" if step.always else _failure(step, glance)
            if said and step.failure is Failure.NOTED:
                notes.append(said)
            elif said and step.failure is Failure.DECIDES:
                reason = f"{said}; {status() or f'see journalctl -u {UNIT}'}"
    finally:
        notes += [said for step in planned if step.always and (said := _failure(step, glance))]
    return Outcome(reason, tuple(notes))


def _failure(step: Step, glance: Callable[[], None]) -> str:
    """Run one command.

    Returns an empty text after a success; after a failure one line with the command and its
    message.
    """
    # Monit refuses to run in a directory that no longer exists.
    with subprocess.Popen(
        step.arguments,
        cwd="/",
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while True:
            try:
                said, _ = process.communicate(timeout=_GLANCE)
                break
            except subprocess.TimeoutExpired:
                glance()
    if process.returncode == 0:
        return ""
    line = next(
        (line for line in said.splitlines() if line.strip()), f"exit status {process.returncode}"
    )
    return f"{' '.join(step.arguments)} failed: {line.strip()}"


def status() -> str:
    """Return the last status text of the unit.

    The text says how many programs work, or what is wrong with the configuration.
    """
    return one_line(properties("StatusText").get("StatusText", ""))


def is_active() -> bool:
    """Return whether the suite runs as a service and its start has completed."""
    return properties("ActiveState").get("ActiveState") == "active"


def unit_user(directory: Path) -> str:
    """Return the unit's user if the unit runs the suite of these settings; else an empty text."""
    said = properties("LoadState", "User", "Environment")
    return said.get("User", "") if runs_suite(said, directory) else ""


def hides_homes(directory: Path) -> bool:
    """Return whether the unit that runs the suite of these settings sees no home directories.

    Returns False when systemd does not tell this user.
    """
    said = properties("LoadState", "ProtectHome", "Environment")
    return runs_suite(said, directory) and said.get("ProtectHome") in ("yes", "tmpfs")


def runs_suite(said: dict[str, str], directory: Path) -> bool:
    """Return whether the unit with these properties runs the suite of the settings in this
    directory.
    """
    return (
        said.get("LoadState") == "loaded"
        and _directory_of(said.get("Environment", "")) == directory
    )


def _directory_of(environment: str) -> Path:
    named = [
        argument.partition("=")[2]
        for argument in shlex.split(environment)
        if argument.startswith("WARREN_CONFIG=")
    ]
    return Path(named[-1]) if named else DEFAULT_DIRECTORY


def properties(*names: str) -> dict[str, str]:
    """Return properties of the unit from systemd; empty on a host without systemd."""
    if not _BOOTED.is_dir():
        return {}
    arguments = ("systemctl", "show", *(f"--property={name}" for name in names), UNIT)
    try:
        done = subprocess.run(
            arguments,
            env=_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_ANSWER,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, written, value = line.partition("=")
        if written:  # a property with several values has several lines
            found[name] = f"{found[name]}\n{value}" if found.get(name) else value
    return found


def _environment() -> dict[str, str]:
    """Return the environment of a program that root runs. By its PATH the program is found."""
    return {**os.environ, "PATH": PATH}
