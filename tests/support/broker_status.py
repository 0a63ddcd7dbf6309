"""A broker.json as a quota-watchdog would have written it."""

from __future__ import annotations

from pathlib import Path

from warren.status import broker_file
from warren.status.status_file import now


def publish_queues(run_dir: Path, **messages: int | None) -> None:
    """Publish a broker that is well, with so many messages in each of these queues."""
    broker = {"kind": "embedded", "reachable": True, "reason": "", "alarms": []}
    queues = {
        name: {"messages": number, "growth_per_s": 0.0, "empty_in_s": None}
        for name, number in messages.items()
    }
    broker_file.write(run_dir, now(), {"broker": broker, "queues": queues, "quotas": {}})
