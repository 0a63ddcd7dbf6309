"""What the watchdog does with ledgers that it cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from warren.config import Settings
from warren.quota.watchdog import Watchdog


def test_a_disk_that_fails_one_ledger(
    loaded: Callable[[str], Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be opened ends neither the watchdog nor the watch of other quotas, and is one line in the log."""
    watchdog = Watchdog(loaded(f"[app]\nstate_dir = {tmp_path}/state\n[quota:bad]\nlimit = 4/h\n[quota:good]\nlimit = 4/h\n"))
    watchdog.book.configure()
    path = watchdog.book["bad"].path
    path.unlink()
    path.mkdir()  # to open it is an OSError of its own
    for _ in range(3):
        for name in watchdog.book:
            watchdog._watch(name)
    assert str(path) in str(watchdog.counts["bad"])
    assert not isinstance(watchdog.counts["good"], str)
    assert len([record for record in caplog.records if "cannot_write" in str(record.msg)]) == 1
    path.rmdir()
    for _ in range(2):
        watchdog._watch("bad")
    assert not isinstance(watchdog.counts["bad"], str)
