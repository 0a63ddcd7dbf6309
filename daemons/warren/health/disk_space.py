"""How full the disks under Warren's folders are. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from warren.health.finding import Finding, Level
from warren.health.observation import Disk, Evidence

#: Percent free below which it is a warning, or critical, where no survey says what [health] has: the options' defaults.
DISK_WARNING, DISK_CRITICAL = 10.0, 5.0


def disk(evidence: Evidence) -> Iterator[Finding]:
    """Each folder whose disk has little room left, else the fullest of them."""
    terms = (evidence.survey.said or {}).get("disk", {})
    warning, critical = terms.get("warning", DISK_WARNING), terms.get("critical", DISK_CRITICAL)
    found = [_judge(each, warning, critical) for each in evidence.disks]
    bad = [finding for finding in found if finding.level]
    least = min((_least(each)[0] for each in evidence.disks if each.room is not None), default=0.0)
    yield from bad or [Finding("disk", Level.OK, f"disk {_percent(least)} free")]


def _judge(disk: Disk, warning: float, critical: float) -> Finding:
    if disk.room is None:
        return Finding("disk", Level.CRITICAL, f"disk of {disk.folder}: {disk.trouble}")
    part, what = _least(disk)
    level = Level.CRITICAL if 100 * part < critical else Level.WARNING if 100 * part < warning else Level.OK
    return Finding("disk", level, f"disk of {disk.folder} {_percent(part)} {what}free")


def _least(disk: Disk) -> tuple[float, str]:
    """What ends first: the room, or the entries, of which the embedded broker's folders hold one a message."""
    room = 0.0 if disk.room is None else disk.room
    if disk.entries is not None and disk.entries < room:
        return disk.entries, "of its inodes "
    return room, ""


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"
