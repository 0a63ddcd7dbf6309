"""The current state of the run directory and the disks.

Only this module of the package reads from the machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from warren.status import heartbeat, status_file
from warren.status.heartbeat import Heartbeat
from warren.status.status_file import Published
from warren.status.validation import NUMBER, Shape
from warren.system.process import Process

SUPERVISORD = "supervisord"
#: The shapes of the parts of programs.json and broker.json that the checks need.
PROGRAMS: dict[str, Shape] = {
    "pid": int,
    "start": int,
    "state": str,
    "programs": [
        {
            "program": str,
            "state": str,
            "pid": (int, None),
            "since": NUMBER,
            "held?": bool,
            "trouble?": (str, None),
            "warning?": str,
        },
    ],
}
_LEVEL = {0, 1, 2}
_QUEUE = {
    "messages": (int, None),
    "growth_per_s": NUMBER,
    "recent_per_s?": NUMBER,
    "empty_in_s": (*NUMBER, None),
    "quota_empty_in_s?": (*NUMBER, None),
    "level?": _LEVEL,
    "unconsumed?": bool,
}
_QUOTA = {
    "free": int,
    "open": int,
    "cooling": int,
    "limit": int,
    "window_s": NUMBER,
    "next_free_s": (*NUMBER, None),
    "level?": _LEVEL,
}
BROKER_STATUS: dict[str, Shape] = {
    "broker": {"kind": str, "reachable": bool, "reason": str, "alarms": [str], "same_name?": bool},
    "results?": {"reachable": bool, "reason": str},
    "queues": {str: _QUEUE},
    "removed_queues?": {str: int},
    "later?": (int, None),
    "returning?": int,
    "rejected_keys?": int,
    "rejected?": {"messages": int, "level": _LEVEL, "full?": bool},
    "quotas": {str: ({"error": str}, _QUOTA)},
    "disk?": {"warning": NUMBER, "critical": NUMBER},
}


@dataclass(frozen=True)
class Disk:
    """The free space of the disk of one directory.

    `room` is the free part of the space, and `entries` that of the file entries (inodes), each from
    0 to 1 of what an ordinary user may use. None means that the value is unknown: for `room`,
    `last_error` says why; some file systems do not count `entries`.
    """

    directory: Path
    room: float | None
    entries: float | None = None
    last_error: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All that is judged. `now`, like every time in the files, is CLOCK_BOOTTIME in seconds."""

    now: float
    programs: Published
    broker_status: Published
    supervisor_alive: bool
    heartbeats: dict[str, Heartbeat]
    silent: dict[str, float]  # seconds since the last sign of life of each program and supervisord
    ended: frozenset[str]  # programs whose heartbeat belongs to a process that has ended
    disks: tuple[Disk, ...]
    # For a program whose heartbeat could not be read, the reason.
    heartbeat_errors: dict[str, str] = field(default_factory=dict)


def look(run_dir: Path, directories: tuple[Path, ...]) -> Snapshot:
    """Read the files of `run_dir`, and the free space of the disks of all these directories.

    Raises nothing.
    """
    programs = status_file.read(run_dir / "programs.json", **PROGRAMS)
    said = programs.said or {"pid": 0, "start": 0, "programs": []}
    found = heartbeat.read(run_dir, [each["program"] for each in said["programs"]])
    heartbeats = found.by_program
    return Snapshot(
        now=status_file.now(),
        programs=programs,
        broker_status=status_file.read(run_dir / "broker.json", **BROKER_STATUS),
        supervisor_alive=Process(said["pid"], said["start"]).alive,
        heartbeats=heartbeats,
        silent={name: latest.age for name, latest in heartbeats.items()}
        | {SUPERVISORD: programs.silence},
        ended=frozenset(name for name, latest in heartbeats.items() if not latest.process.alive),
        # systemd removes the run directory when it stops the suite, which is not an error of a
        # disk.
        disks=tuple(
            map(_disk, [*directories, run_dir] if os.path.exists(run_dir) else directories)
        ),
        heartbeat_errors=found.errors_found,
    )


def _disk(directory: Path) -> Disk:
    try:
        found = os.statvfs(directory)
    except OSError as error:
        return Disk(directory, None, last_error=error.strerror or str(error))
    used = found.f_blocks - found.f_bfree
    # Like df: space that is reserved for root is not free.
    room = found.f_bavail / max(1, used + found.f_bavail)
    # Some file systems do not count entries.
    entries = found.f_favail / found.f_files if found.f_files else None
    return Disk(directory, room, entries)
