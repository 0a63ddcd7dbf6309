"""What the watchdog does with ledgers that it cannot use."""

from __future__ import annotations

import errno
import fcntl
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from support.disk import fill, small_disk
from warren.config import Settings
from warren.quotas.ledgers import Ledgers
from warren.quotas.slot_counts import Counts
from warren.system.regular_file import open_regular
from warren.watchdog.broker_status import BrokerStatus
from warren.watchdog.daemon import Watchdog


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings are logged, whatever level another test has left."""
    caplog.set_level(logging.WARNING)


def test_a_disk_that_fails_one_ledger(
    loaded: Callable[[str], Settings],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ledger that cannot be opened ends neither the watchdog nor the other quotas' watch.

    It is one line in the log.
    """
    watchdog = Watchdog(
        loaded(
            f"[app]\nstate_dir = {tmp_path}/state\n[quota:bad]\nlimit = 4/h\n[quota:good]\nlimit = "
            "4/h\n"
        )
    )
    watchdog.ledgers.configure()
    path = watchdog.ledgers["bad"].path

    def opened(asked: Path, *flags: int) -> int:
        if asked == path:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return open_regular(asked, *flags)

    watchdog.ledgers["bad"].close()
    with monkeypatch.context() as broken:
        broken.setattr("warren.quotas.mapped_file.open_regular", opened)
        for _ in range(3):
            for name in watchdog.ledgers:
                watchdog._watch(name)
    assert str(path) in str(watchdog.counts["bad"])
    assert not isinstance(watchdog.counts["good"], str)
    assert len([record for record in caplog.records if "cannot_write" in str(record.msg)]) == 1
    for _ in range(2):
        watchdog._watch("bad")
    assert not isinstance(watchdog.counts["bad"], str)


def limits(watchdog: Watchdog) -> dict[str, int | None]:
    """What each ledger says after a look at it; None when it says nothing."""
    for name in watchdog.ledgers:
        watchdog._watch(name)
    return {
        name: counts.limit if isinstance(counts, Counts) else None
        for name, counts in watchdog.counts.items()
    }


def test_a_full_disk_during_a_reload(
    loaded: Callable[[str], Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot grow keeps its old limit, and this is logged once.

    The others change, and it follows when there is room.
    """
    with small_disk(tmp_path / "state", "4M"):
        head = (
            f"[app]\nstate_dir = {tmp_path}/state\nrun_dir = {tmp_path}/run\n[quota:few]\nlimit = "
            "9/h\n"
        )
        watchdog = Watchdog(loaded(f"{head}[quota:many]\nlimit = 4/h\n"))
        watchdog.ledgers.configure()
        watchdog.broker_status = BrokerStatus(watchdog.settings)
        filler = fill(tmp_path / "state")
        try:
            watchdog._apply(
                loaded(
                    f"{head.replace('9/h', '5/h')}[quota:many]\nlimit = 9000/h\n[quota:new]\nlimit "
                    "= 9000/h\n"
                )
            )
            for _ in range(3):
                assert limits(watchdog) == {"few": 5, "many": 4, "new": None}
            assert (
                len([record for record in caplog.records if "cannot_write" in str(record.msg)]) == 2
            )
            filler.unlink()
            # a ledger that is missing is made in the first look, and read in the next
            limits(watchdog)
            assert limits(watchdog) == {"few": 5, "many": 9000, "new": 9000}
        finally:
            watchdog.broker_status.stop()
            watchdog.ledgers.close()


def test_a_lock_that_is_held_is_said_once(
    loaded: Callable[[str], Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger that cannot be looked at is one line, however long that lasts.

    There is one more line when it happens again.
    """
    watchdog = Watchdog(loaded(f"[app]\nstate_dir = {tmp_path}/state\n[quota:site]\nlimit = 4/h\n"))
    # load: the test itself holds the lock, or nobody does
    watchdog.ledgers = Ledgers(watchdog.settings, timeout=0.01)
    watchdog.ledgers.configure()
    for _ in range(2):
        with open(watchdog.ledgers["site"].path, "rb") as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            assert [limits(watchdog) for _ in range(3)] == [{"site": None}] * 3
        assert limits(watchdog) == {"site": 4}
    assert len([record for record in caplog.records if "ledger_busy" in str(record.msg)]) == 2
