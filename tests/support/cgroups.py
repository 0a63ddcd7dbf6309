"""Control groups of a booted host: its own in each hierarchy.

Otherwise two hosts' systemd would meet in /system.slice.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

_PREFIX = "warren-host-"


def make(owner: int) -> list[Path]:
    """Make one group in each hierarchy, named after a process.

    Remove the groups that hosts of dead processes left.
    """
    found = []
    for parent in _own():
        for stale in parent.glob(f"{_PREFIX}*"):
            if not Path(f"/proc/{stale.name.removeprefix(_PREFIX)}").exists():
                _end(stale)
                remove([stale])
        group = parent / f"{_PREFIX}{owner}"
        group.mkdir(exist_ok=True)
        # version 1: a group without them takes no process
        for file in (
            "cpuset.cpus",
            "cpuset.mems",
        ):
            if (group / file).exists():
                (group / file).write_text(
                    (parent / file).read_text(encoding="ascii"), encoding="ascii"
                )
        found.append(group)
    return found


def remove(groups: list[Path]) -> None:
    """Takes groups away with all below them; one that still has a process stays."""
    for group in groups:
        # another run may take them away meanwhile: walk does not mind
        for directory, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(directory)


def _end(group: Path) -> None:
    """End the processes of a host whose test run was killed.

    Its systemd outlives systemd-nspawn, and no other process ends it.
    """
    for directory, _, _ in os.walk(group):
        with suppress(OSError):
            for pid in Path(directory, "cgroup.procs").read_text(encoding="ascii").split():
                os.kill(int(pid), signal.SIGKILL)


def _own() -> list[Path]:
    """The group that this process is in, in each hierarchy that is mounted."""
    mounts = [
        line.split(" - ")
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    ]
    found = []
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for mount, source in mounts:
            kind, _, options = re.split(" ", source, maxsplit=2)
            of_version_2 = kind == "cgroup2" and not controllers
            of_version_1 = (
                kind == "cgroup"
                and bool(controllers)
                and set(controllers.split(",")) <= set(options.split(","))
            )
            if of_version_2 or of_version_1:
                found.append(Path(mount.split()[4]) / path.lstrip("/"))
                break
    return [directory for directory in found if directory.is_dir()]
