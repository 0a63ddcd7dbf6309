"""The state of the run directory and of the disks at one moment.

No other module of this package reads from the machine.
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
    """The free space on the disk of one directory.

    room: the free part of the space. entries: the free part of the file entries (inodes). Both are
    from 0 to 1 of what an ordinary user may use. None means unknown: for `room`, `last_error` says
    why; for `entries`, the file system may not count them.
    """

    directory: Path
    room: float | None
    entries: float | None = None
    last_error: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All that the checks judge.

    now: seconds of CLOCK_BOOTTIME, like every time in the files.
    """

    now: float
    programs: Reading
    broker_status: BrokerReading
    heartbeats: dict[str, Heartbeat]  # used for their details; supervisord judges the heartbeats
    disks: tuple[Disk, ...]


def look(run_dir: Path, directories: tuple[Path, ...]) -> Snapshot:
    """Read the files of `run_dir`, and the free space on the disks of all these directories.

    Raises nothing.
    """
    programs = programs_file.read(run_dir)
    names = [each.program for each in programs.report.programs] if programs.report else []
    return Snapshot(
        now=status_file.now(),
        programs=programs,
        broker_status=broker_file.read(run_dir),
        heartbeats=heartbeat.read(run_dir, names).by_program,
        # systemd removes the run directory when it stops the suite. That is not an error of a disk.
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
    # As in df, space that is reserved for root is not free.
    room = found.f_bavail / max(1, used + found.f_bavail)
    # Some file systems do not count entries.
    entries = found.f_favail / found.f_files if found.f_files else None
    return Disk(directory, room, entries)
