"""broker.json where the thread that asks the broker says nothing, and where the disk is full."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warren.broker.queue_depth import Seen
from warren.broker.rejection_limits import MOST
from warren.broker.waiting_counts import Waiting
from warren.config import Settings
from warren.quotas.slot_counts import Counts
from warren.watchdog import broker_status
from warren.watchdog.broker_monitor import BrokerMonitor, Look

Loaded = Callable[..., Settings]
COUNTS = Counts(60, 5, 1, 54, 0, 20_000_000_000, 0, 0, 0, 60.0)


class Clock:
    """CLOCK_BOOTTIME as the test sets it."""

    now = 10.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The broker status's clock; its thread asks nobody."""
    found = Clock()
    monkeypatch.setattr(broker_status, "now", lambda: found.now)
    monkeypatch.setattr(BrokerMonitor, "run", lambda self: None)
    return found


@pytest.fixture
def settings(loaded: Loaded, tmp_path: Path) -> Settings:
    """A quota that warns below ten percent."""
    (tmp_path / "run").mkdir()
    return loaded(
        f"[app]\nrun_dir = {tmp_path}/run\n[quota:site]\nlimit = 60/m\n[health]\nquota_warning = "
        "10\n"
    )


def said(settings: Settings) -> dict[str, Any] | None:
    """What broker.json says; None when there is none."""
    path = settings.app.run_dir / "broker.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def test_a_thread_that_never_answers(settings: Settings, clock: Clock) -> None:
    """Before the first look nothing is published; a look that stays away is an outage."""
    watched = broker_status.BrokerStatus(settings)
    watched.publish({})
    assert said(settings) is None
    clock.now += 60
    watched.publish({})
    found = said(settings)
    assert found is not None
    assert (found["broker"]["reachable"], found["broker"]["reason"]) == (
        False,
        "no answer for 60 s",
    )
    watched._broker.latest = Look(clock.now, True, queues={"default": Seen(3)})
    watched.publish({})
    assert (said(settings) or {})["queues"]["default"]["messages"] == 3
    clock.now += 60
    watched.publish({})
    assert (said(settings) or {})["broker"]["reason"] == "no answer for 60 s"


def test_quotas(settings: Settings, clock: Clock) -> None:
    """A quota with little left has a level, and one that could not be counted says why."""
    watched = broker_status.BrokerStatus(settings)
    watched._broker.latest = Look(clock.now, True)
    watched.publish({"site": COUNTS, "other": "it is damaged"})
    found = (said(settings) or {})["quotas"]
    assert found["other"] == {"error": "it is damaged"}
    chosen = ("limit", "window_s", "free", "open", "cooling", "used", "next_free_s", "level")
    assert [found["site"][name] for name in chosen] == [60, 60.0, 5, 1, 54, 55, 0.0, 1]


def test_a_directory_that_cannot_be_written(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk does not end the watchdog.

    The file grows old, and nothing half-written is left.
    """
    watched = broker_status.BrokerStatus(settings)
    watched._broker.latest = Look(clock.now, True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("warren.system.atomic_write.os.replace", full)
    watched.publish({})
    assert list(settings.app.run_dir.iterdir()) == []


def test_a_queue_that_a_quota_holds_up(loaded: Loaded, tmp_path: Path, clock: Clock) -> None:
    """What the quota admits in a window says how long a queue takes at least.

    Other queues have no such time.
    """
    (tmp_path / "run").mkdir()
    ini = (
        f"[app]\nrun_dir = {tmp_path}/run\n[quota:site]\nlimit = 60/m\ntasks = "
        "jobs.call\n[queue:site]\ntasks = jobs.call\n"
    )
    settings = loaded(ini)
    watched = broker_status.BrokerStatus(settings)
    watched._broker.latest = Look(clock.now, True, queues={"default": Seen(3), "site": Seen(605)})
    watched.publish({"site": COUNTS})
    found = said(settings)
    assert found is not None
    assert found["queues"]["site"]["quota_empty_in_s"] == 600.0
    assert found["queues"]["default"]["quota_empty_in_s"] is None


def test_a_queue_that_nobody_takes_from(settings: Settings, clock: Clock) -> None:
    """A queue with messages and no consumer is a warning after a minute.

    A queue that may wait for a quota has its window besides.
    """
    watched = broker_status.BrokerStatus(settings)

    def look(after: float, messages: int, consumers: int | None) -> dict[str, Any]:
        clock.now += after
        watched._broker.latest = Look(
            clock.now, True, queues={"default": Seen(messages, consumers)}
        )
        watched.publish({})
        found: dict[str, Any] = (said(settings) or {})["queues"]["default"]
        return found

    assert not look(0, 2, 0)["unconsumed"]
    assert not look(61, 2, 0)["unconsumed"]  # the quota of these settings may be what it waits for
    found = look(66, 2, 0)
    assert (found["unconsumed"], found["level"]) == (True, 1)
    assert not look(1, 2, 1)["unconsumed"]
    look(0, 2, 0)
    assert not look(500, 2, None)["unconsumed"]  # a broker that does not say


def test_what_no_worker_will_take(settings: Settings, clock: Clock) -> None:
    """Dead letters are a warning from `rejected_warning` on.

    Queues without a section are named with their messages.
    """
    watched = broker_status.BrokerStatus(settings)
    watched._broker.latest = Look(clock.now, True, removed={"lonely": 2})
    watched.publish({})
    found = said(settings) or {}
    assert (found["removed_queues"], found["rejected"]) == (
        {"lonely": 2},
        {"messages": 0, "level": 0},
    )
    assert (found["later"], found["returning"], found["rejected_keys"]) == (0, 0, 0)
    watched._broker.latest = Look(clock.now + 1, True, rejected=3, waiting=Waiting(None, 4, 5))
    watched.publish({})
    found = said(settings) or {}
    assert (found["removed_queues"], found["rejected"]) == ({}, {"messages": 3, "level": 1})
    assert (found["later"], found["returning"], found["rejected_keys"]) == (None, 4, 5)
    watched._broker.latest = Look(clock.now + 2, True, rejected=MOST)
    watched.publish({})
    assert (said(settings) or {})["rejected"] == {"messages": MOST, "level": 1, "full": True}
