"""A broker.json as a quota-watchdog would have written it."""

from __future__ import annotations

from pathlib import Path

from warren.status import broker_file
from warren.status.status_file import now

#: A quota with slots left, as the quota-watchdog writes it.
QUOTA_STATUS = {
    "limit": 60,
    "window_s": 10.0,
    "free": 40,
    "open": 1,
    "cooling": 19,
    "used": 20,
    "next_free_s": 0.0,
    "level": 0,
}


def publish_queues(run_dir: Path, **messages: int | None) -> None:
    """Publish a broker that is well, with so many messages in each of these queues."""
    broker = {"kind": "embedded", "reachable": True, "reason": "", "alarms": []}
    queues = {
        name: {"messages": number, "growth_per_s": 0.0, "empty_in_s": None}
        for name, number in messages.items()
    }
    broker_file.write(run_dir, now(), {"broker": broker, "queues": queues, "quotas": {}})
