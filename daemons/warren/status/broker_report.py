"""The status of broker, queues and quotas, as the quota-watchdog publishes it in broker.json."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Age in seconds above which the report is old, and says nothing of now. The quota-watchdog writes
#: it each second.
OLD = 15.0


@dataclass(frozen=True)
class BrokerState:
    """The state of the broker.

    `reason` says why it is not reachable. `alarms` say why it takes no messages. `same_name`:
    another suite on it bears this host's name.
    """

    kind: str
    reachable: bool
    reason: str
    alarms: list[str]
    same_name: bool = False


@dataclass(frozen=True)
class ResultsState:
    """The state of the server that keeps the results, where it is not the broker."""

    reachable: bool = True
    reason: str = ""


@dataclass(frozen=True)
class QueueStatus:
    """The depth of one queue, and where it goes.

    `messages` is None when the broker does not tell. Rates are messages a second, times seconds;
    a time is None when the queue does not empty, or has no quota. `recent_per_s` is None when only
    the trend of three minutes is known. `level` is that of a finding, 0 to 2. `unconsumed`: no
    worker of the fleet takes from it.
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
    """The slots of one quota: `limit` in a window of `window_s` seconds.

    `used` is the number of slots that the provider may be counting. `next_free_s` is the seconds
    until a slot is free, None when none is and none cools; `next_free` and `closed_until` are in ns
    of CLOCK_BOOTTIME. `level` is that of a finding, 0 to 2.
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
    """The messages that nobody could run; `full`: the oldest of them are dropped."""

    messages: int = 0
    level: int = 0
    full: bool = False


@dataclass(frozen=True)
class DiskLevels:
    """Percent of free space below which `warren health` warns, or is critical."""

    warning: float
    critical: float


@dataclass(frozen=True)
class BrokerReport:
    """The content of broker.json. The numbers stand in docs/status.md."""

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

    `report` is None when the file cannot be read, and `last_error` says why. `age` is the seconds
    since it was written; negative where it comes from before the boot of this host.
    """

    report: BrokerReport | None
    last_error: str = ""
    age: float = 0.0

    @property
    def known(self) -> BrokerReport | None:
        """Return the report when it says how the broker is now; None when it is old."""
        return self.report if 0.0 <= self.age <= OLD else None
