"""The current state of the run directory and the disks.

Only this module of the package reads from the machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from warren.status import broker_file, heartbeat, programs_file, status_file
from warren.status.broker_report import BrokerReading
from warren.status.heartbeat import Heartbeat
from warren.status.suite_report import Reading


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
    programs: Reading
    broker_status: BrokerReading
    heartbeats: dict[str, Heartbeat]  # for their details: supervisord judges the heartbeats
    disks: tuple[Disk, ...]


def look(run_dir: Path, directories: tuple[Path, ...]) -> Snapshot:
    """Read the files of `run_dir`, and the free space of the disks of all these directories.

    Raises nothing.
    """
    programs = programs_file.read(run_dir)
    names = [each.program for each in programs.report.programs] if programs.report else []
    return Snapshot(
        now=status_file.now(),
        programs=programs,
        broker_status=broker_file.read(run_dir),
        heartbeats=heartbeat.read(run_dir, names).by_program,
        # systemd removes the run directory when it stops the suite, which is not an error of a
        # disk.
        disks=tuple(
            map(_disk, [*directories, run_dir] if os.path.exists(run_dir) else directories)
        ),
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
