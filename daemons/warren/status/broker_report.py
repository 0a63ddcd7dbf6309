"""The status of broker, queues and quotas, as the quota-watchdog publishes it in broker.json."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Seconds. An older report says nothing of now. The quota-watchdog writes the report each second.
OLD = 15.0


@dataclass(frozen=True)
class BrokerState:
    """The state of the broker.

    reason: why the broker is not reachable. alarms: why the broker takes no messages. same_name:
    whether another suite on this broker has the name of this host.
    """

    kind: str
    reachable: bool
    reason: str
    alarms: list[str]
    same_name: bool = False


@dataclass(frozen=True)
class ResultsState:
    """The state of the results' server, when that server is not the broker."""

    reachable: bool = True
    reason: str = ""


@dataclass(frozen=True)
class QueueStatus:
    """The depth of one queue, and how the depth changes.

    messages: None when the broker does not tell. Rates are in messages a second, times in seconds.
    empty_in_s: None when the queue does not drain. quota_empty_in_s: None when the queue has no
    quota. recent_per_s: None when only the trend of three minutes is known. level: 0 to 2, as in a
    finding. unconsumed: no worker of the fleet takes messages from the queue.
    """

    messages: int | None
    growth_per_s: float
    empty_in_s: float | None
    recent_per_s: float | None = None
    quota_empty_in_s: float | None = None
    level: int = 0
    unconsumed: bool = False


@dataclass(frozen=True)
class QuotaStatus:
    """The slots of one quota: `limit` slots in a window of `window_s` seconds.

    used: the number of slots that the provider may be counting. next_free_s: the seconds until a
    slot is free; None when no slot is free and no slot cools. next_free, closed_until: ns of
    CLOCK_BOOTTIME. level: 0 to 2, as in a finding.
    """

    limit: int
    window_s: float
    free: int
    open: int
    cooling: int
    next_free_s: float | None
    used: int = 0
    retired: int = 0
    admitted: int = 0
    refused: int = 0
    next_free: int | None = None
    closed_until: int = 0
    level: int = 0


@dataclass(frozen=True)
class QuotaError:
    """Why the slots of a quota could not be counted."""

    error: str


@dataclass(frozen=True)
class RejectedStatus:
    """The messages that could not be run.

    full: whether the oldest of these messages are dropped because there are too many.
    """

    messages: int = 0
    level: int = 0
    full: bool = False


@dataclass(frozen=True)
class DiskLevels:
    """The percent of free disk space below which `warren health` warns or is critical."""

    warning: float
    critical: float


@dataclass(frozen=True)
class BrokerReport:
    """The content of broker.json. docs/status.md explains the numbers."""

    broker: BrokerState
    queues: dict[str, QueueStatus]
    quotas: dict[str, QuotaStatus | QuotaError]
    results: ResultsState = ResultsState()
    removed_queues: dict[str, int] = field(default_factory=dict)
    rejected: RejectedStatus = RejectedStatus()
    later: int | None = None
    returning: int | None = None
    rejected_keys: int | None = None
    disk: DiskLevels | None = None


@dataclass(frozen=True)
class BrokerReading:
    """One reading of broker.json: its content, and what the content is worth.

    report: None when the file cannot be read. last_error: why the file cannot be read. age: the
    seconds since the file was written; negative when it was written before the boot of this host.
    """

    report: BrokerReport | None
    last_error: str = ""
    age: float = 0.0

    @property
    def known(self) -> BrokerReport | None:
        """Return the report if it says how the broker is now; None if the report is old."""
        return self.report if 0.0 <= self.age <= OLD else None
