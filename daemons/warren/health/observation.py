"""What the run folder and the disks say now: the only file of this room that looks at the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from warren.status import heartbeat, status_file
from warren.status.heartbeat import Beat
from warren.status.status_file import Published
from warren.status.validation import NUMBER, Shape
from warren.system.process import Process

SUPERVISORD = "supervisord"
#: What is needed of programs.json, and of survey.json.
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
SURVEY: dict[str, Shape] = {
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
    """The free part, 0 to 1, of the room and of the file entries that an ordinary user may use; None: it could not be asked."""

    folder: Path
    room: float | None
    entries: float | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything that is judged. `now` is CLOCK_BOOTTIME in seconds, as is every time in the files."""

    now: float
    programs: Published
    survey: Published
    supervisor_alive: bool
    beats: dict[str, Beat]
    silent: dict[str, float]  # seconds since each heart showed life, and supervisord
    ended: frozenset[str]  # programs whose heart belongs to a process that has ended
    disks: tuple[Disk, ...]
    heart_troubles: dict[str, str] = field(default_factory=dict)  # why the heart of a program could not be read


def look(run_dir: Path, folders: tuple[Path, ...]) -> Evidence:
    """Reads the files of `run_dir` and asks for the free room of it and of `folders`. Raises nothing."""
    programs = status_file.read(run_dir / "programs.json", **PROGRAMS)
    said = programs.said or {"pid": 0, "start": 0, "programs": []}
    hearts = heartbeat.read(run_dir, [each["program"] for each in said["programs"]])
    beats = hearts.beats
    return Evidence(
        now=status_file.now(),
        programs=programs,
        survey=status_file.read(run_dir / "survey.json", **SURVEY),
        supervisor_alive=Process(said["pid"], said["start"]).alive,
        beats=beats,
        silent={name: beat.age for name, beat in beats.items()} | {SUPERVISORD: programs.silence},
        ended=frozenset(name for name, beat in beats.items() if not beat.process.alive),
        # systemd takes the run folder away with the suite that it stops: that is no trouble of a disk.
        disks=tuple(map(_disk, [*folders, run_dir] if os.path.exists(run_dir) else folders)),
        heart_troubles=hearts.troubles,
    )


def _disk(folder: Path) -> Disk:
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return Disk(folder, None, trouble=error.strerror or str(error))
    used = found.f_blocks - found.f_bfree
    room = found.f_bavail / max(1, used + found.f_bavail)  # as df has it: what is kept for root is not free
    entries = found.f_favail / found.f_files if found.f_files else None  # some file systems do not count them
    return Disk(folder, room, entries)
