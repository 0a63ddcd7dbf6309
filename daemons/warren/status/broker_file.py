"""broker.json in the run directory: its shape, its writer and its reader.

The quota-watchdog writes the file, so that no other process has to ask the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warren.status import status_file
from warren.status.broker_report import (
    BrokerReading,
    BrokerReport,
    BrokerState,
    DiskLevels,
    QueueStatus,
    QuotaError,
    QuotaStatus,
    RejectedStatus,
    ResultsState,
)
from warren.status.status_file import record
from warren.status.validation import NUMBER, Shape

#: The file's name in the run directory.
NAME = "broker.json"
_LEVEL: Shape = {0, 1, 2}
_QUEUE: Shape = {
    "messages": (int, None),
    "growth_per_s": NUMBER,
    "recent_per_s?": (*NUMBER, None),
    "empty_in_s": (*NUMBER, None),
    "quota_empty_in_s?": (*NUMBER, None),
    "level?": _LEVEL,
    "unconsumed?": bool,
}
_QUOTA: Shape = {
    "free": int,
    "open": int,
    "cooling": int,
    "limit": int,
    "window_s": NUMBER,
    "next_free_s": (*NUMBER, None),
    "used?": int,
    "retired?": int,
    "admitted?": int,
    "refused?": int,
    "next_free?": (int, None),
    "closed_until?": int,
    "level?": _LEVEL,
}
_SHAPE: dict[str, Shape] = {
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


def write(run_dir: Path, at: float, content: Mapping[str, object]) -> None:
    """Replace broker.json by this content.

    at: the time of the content, in seconds of CLOCK_BOOTTIME. Raises OSError, and then the old file
    stays.
    """
    status_file.write(run_dir / NAME, {"at": at, **content})


def read(run_dir: Path) -> BrokerReading:
    """Return the last report of the quota-watchdog. Raises nothing."""
    found = status_file.read(run_dir / NAME, **_SHAPE)
    if found.said is None:
        return BrokerReading(None, found.last_error)
    return BrokerReading(_report(found.said), age=status_file.now() - found.said["at"])


def _report(content: Mapping[str, Any]) -> BrokerReport:
    disk = content.get("disk")
    return BrokerReport(
        record(BrokerState, content["broker"]),
        {name: record(QueueStatus, queue) for name, queue in content["queues"].items()},
        {name: _quota(quota) for name, quota in content["quotas"].items()},
        record(ResultsState, content.get("results", {})),
        content.get("removed_queues", {}),
        record(RejectedStatus, content.get("rejected", {})),
        content.get("later"),
        content.get("returning"),
        content.get("rejected_keys"),
        record(DiskLevels, disk) if disk else None,
    )


def _quota(content: Mapping[str, Any]) -> QuotaStatus | QuotaError:
    if "error" in content:
        return QuotaError(content["error"])
    return record(QuotaStatus, content)
