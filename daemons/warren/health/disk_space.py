"""The check of the free space on the disks of Warren's directories. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from warren.health.finding import Finding, Level
from warren.health.observation import Disk, Snapshot
from warren.status.broker_report import DiskLevels

#: The percent of free space below which the check warns or is critical. These are the defaults of
#: [health]. They are used when no broker status holds the settings.
DISK_WARNING, DISK_CRITICAL = 10.0, 5.0


def disk(snapshot: Snapshot) -> Iterator[Finding]:
    """Yield a finding for each directory with a nearly full disk.

    Without such a disk, yields one finding for the fullest disk.
    """
    report = snapshot.broker_status.report  # settings count also when the report is old
    levels = (report and report.disk) or DiskLevels(DISK_WARNING, DISK_CRITICAL)
    found = [_judge(each, levels.warning, levels.critical) for each in snapshot.disks]
    bad = [finding for finding in found if finding.level]
    least = min((_least(each)[0] for each in snapshot.disks if each.room is not None), default=0.0)
    yield from bad or [Finding("disk", Level.OK, f"disk {_percent(least)} free")]


def _judge(disk: Disk, warning: float, critical: float) -> Finding:
    if disk.room is None:
        return Finding("disk", Level.CRITICAL, f"disk of {disk.directory}: {disk.last_error}")
    part, what = _least(disk)
    level = (
        Level.CRITICAL
        if 100 * part < critical
        else Level.WARNING
        if 100 * part < warning
        else Level.OK
    )
    return Finding("disk", level, f"disk of {disk.directory} {_percent(part)} {what}free")


def _least(disk: Disk) -> tuple[float, str]:
    """Return the smaller of two free parts, with its name: space, and file entries (inodes).

    Entries count, because the embedded broker's directories hold an entry for each message.
    """
    room = 0.0 if disk.room is None else disk.room
    if disk.entries is not None and disk.entries < room:
        return disk.entries, "of its inodes "
    return room, ""


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"
