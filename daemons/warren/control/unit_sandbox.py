"""The sandbox of Warren's unit.

A command of root uses the sandbox when it must see what the unit's daemons see.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from warren.control import service

#: The properties that define the unit's view of the host, as `systemctl show` writes them and
#: `systemd-run` reads them.
_VIEW = (
    "User",
    "Group",
    "SupplementaryGroups",
    "Environment",
    "PassEnvironment",
    "UnsetEnvironment",
    "WorkingDirectory",
    "NoNewPrivileges",
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    "PrivateDevices",
    "PrivateUsers",
    "PrivateMounts",
    "PrivateNetwork",
    "ProtectProc",
    "ProcSubset",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "ExecPaths",
    "NoExecPaths",
    "MemoryDenyWriteExecute",
    "RestrictAddressFamilies",
    "RestrictSUIDSGID",
    # The properties that limit the unit's system calls, and its use of the host's resources.
    "SystemCallFilter",
    "SystemCallArchitectures",
    "SystemCallErrorNumber",
    "RestrictNamespaces",
    "RestrictRealtime",
    "LockPersonality",
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectControlGroups",
    "ProtectClock",
    "ProtectHostname",
    "DevicePolicy",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "KeyringMode",
    "MemoryMax",
    "TasksMax",
    "LimitNOFILE",
)
#: Properties for which an empty value has a meaning: nothing is allowed.
_NONE = ("CapabilityBoundingSet",)
#: The properties that name directories which systemd makes for the unit, with their parents.
_DIRECTORIES = {
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
}


def sandbox(directory: Path, user: str, seconds: float) -> list[str]:
    """Return the words to put before a command so that it runs in the unit's sandbox.

    The command then has the unit's user, view of the disk and environment, and no rights of root.
    It may run for `seconds`. The result is empty when no unit runs the suite of these settings as
    that user.
    """
    said = service.properties("LoadState", *_VIEW, *_DIRECTORIES, "EnvironmentFiles")
    if (
        not service.runs_suite(said, directory)
        or said.get("User") != user
        or shutil.which("systemd-run", path=service.PATH) is None
    ):
        return []
    same = [
        f"{name}={said[name]}"
        for name in _VIEW
        if said.get(name) or (name in said and name in _NONE)
    ]
    directories = [
        f"-{top}/{name}"
        for kind, top in _DIRECTORIES.items()
        for name in said.get(kind, "").split()
    ]
    same += [f"ReadWritePaths={' '.join(directories)}"] if directories else []
    for line in said.get("EnvironmentFiles", "").split("\n"):
        path, _, ignored = line.partition(" (ignore_errors=")
        same += (
            [f"EnvironmentFile={'-' if ignored.startswith('yes') else ''}{path}"] if path else []
        )
    same += [f"RuntimeMaxSec={seconds:g}", "LimitCORE=0", "UMask=0077"]
    given = [f"--property={each}" for each in same]
    return [
        "systemd-run",
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        "--service-type=exec",
        *given,
    ]
