"""The suite as a service of this host: what systemd and Monit are told, in the order in which the two never fight.

`steps` decides, `run` acts.
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

from warren.config.reader import DEFAULT_FOLDER
from warren.errors import Unavailable
from warren.system.printable import one_line

UNIT = "warren"
#: Monit's group of services (monit/warren).
_GROUP = "warren"
#: It exists on every host that systemd has booted, and on no other (sd_booted(3)).
_BOOTED = Path("/run/systemd/system")
#: Where root's programs are looked for. Not in the PATH of the shell: one with a relative folder in it, or with a folder of the
#: suite's user, would have root run what a task has put there as `systemctl`.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Seconds between two looks at what still goes on while a command runs.
_GLANCE = 0.5
#: What makes up the view that the unit has of the host, in words that `systemctl show` writes and `systemd-run` reads.
_VIEW = (
    *("User", "Group", "SupplementaryGroups", "Environment", "PassEnvironment", "UnsetEnvironment", "WorkingDirectory"),
    *("NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "PrivateMounts"),
    *("PrivateNetwork", "ProtectProc", "ProcSubset", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths"),
    *("NoExecPaths", "MemoryDenyWriteExecute", "RestrictAddressFamilies", "RestrictSUIDSGID"),
    # And what it may ask of the kernel, and take of the host.
    *("SystemCallFilter", "SystemCallArchitectures", "SystemCallErrorNumber", "RestrictNamespaces", "RestrictRealtime"),
    *("LockPersonality", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups"),
    *("ProtectClock", "ProtectHostname", "DevicePolicy", "CapabilityBoundingSet", "AmbientCapabilities", "KeyringMode"),
    *("MemoryMax", "TasksMax", "LimitNOFILE"),
)
#: Of these an empty value says something: nothing is allowed.
_NONE = ("CapabilityBoundingSet",)
#: Directories that systemd makes for the unit, and where.
_DIRECTORIES = {"StateDirectory": "/var/lib", "LogsDirectory": "/var/log", "RuntimeDirectory": "/run"}
#: Seconds that systemd has for an answer.
_ANSWER = 10.0


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
    """Runs one command; what it was and what it said when it failed, in one line, else nothing."""
    # Monit refuses to run in a folder that is gone.
    with subprocess.Popen(
        step.words, cwd="/", env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
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


def status() -> str:
    """Return the last status line of the unit: how many programs work, or what is wrong with the configuration."""
    return one_line(_show("StatusText").get("StatusText", ""))


def is_active() -> bool:
    """Return whether the suite runs as a service, and was started to the end."""
    return _show("ActiveState").get("ActiveState") == "active"


def unit_user(folder: Path) -> str:
    """Return the user of the unit, where it is installed and runs the suite of these settings; else nothing."""
    said = _show("LoadState", "User", "Environment")
    return said.get("User", "") if _runs(said, folder) else ""


def hides_homes(folder: Path) -> bool:
    """Whether the unit that runs the suite of these settings sees no home directories, as far as systemd tells this user."""
    said = _show("LoadState", "ProtectHome", "Environment")
    return _runs(said, folder) and said.get("ProtectHome") in ("yes", "tmpfs")


def sandbox(folder: Path, user: str, seconds: float) -> list[str]:
    """Return the words before a command that run it as the unit would: as its user, with its view of the disk, its environment
    and without its rights; nothing where no unit runs the suite of these settings as that user.
    """
    said = _show("LoadState", *_VIEW, *_DIRECTORIES, "EnvironmentFiles")
    if not _runs(said, folder) or said.get("User") != user or shutil.which("systemd-run", path=PATH) is None:
        return []
    same = [f"{name}={said[name]}" for name in _VIEW if said.get(name) or (name in said and name in _NONE)]
    places = [f"-{top}/{name}" for kind, top in _DIRECTORIES.items() for name in said.get(kind, "").split()]
    same += [f"ReadWritePaths={' '.join(places)}"] if places else []
    for line in said.get("EnvironmentFiles", "").split("\n"):
        path, _, ignored = line.partition(" (ignore_errors=")
        same += [f"EnvironmentFile={'-' if ignored.startswith('yes') else ''}{path}"] if path else []
    same += [f"RuntimeMaxSec={seconds:g}", "LimitCORE=0", "UMask=0077"]
    given = [f"--property={each}" for each in same]
    return ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec", *given]


def _runs(said: dict[str, str], folder: Path) -> bool:
    return said.get("LoadState") == "loaded" and _folder_of(said.get("Environment", "")) == folder


def _folder_of(environment: str) -> Path:
    named = [word.partition("=")[2] for word in shlex.split(environment) if word.startswith("WARREN_CONFIG=")]
    return Path(named[-1]) if named else DEFAULT_FOLDER


def _show(*names: str) -> dict[str, str]:
    """Properties of the unit, as systemd says them; nothing on a host without systemd."""
    if not _BOOTED.is_dir():
        return {}
    words = ("systemctl", "show", *(f"--property={name}" for name in names), UNIT)
    try:
        done = subprocess.run(
            words, env=_environment(), capture_output=True, text=True, errors="replace", check=False, timeout=_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, written, value = line.partition("=")
        if written:  # a property of several values stands on several lines
            found[name] = f"{found[name]}\n{value}" if found.get(name) else value
    return found


def _environment() -> dict[str, str]:
    """Return the environment of a program that root runs; it is looked for in its PATH."""
    return {**os.environ, "PATH": PATH}
