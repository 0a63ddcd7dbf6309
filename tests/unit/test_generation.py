"""Generations of settings, in ledgers and beside them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from support.ledgers import LONGEST, WINDOW, fresh, poke
from warren.config import Settings
from warren.quotas.generation import accepted, latest
from warren.quotas.layout import MOST
from warren.quotas.ledger import Ledger, Opened
from warren.watchdog.daemon import Watchdog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of a test is."""
    return tmp_path / "state" / "quota" / "x.ledger"


def test_older_settings_change_nothing(path: Path) -> None:
    """A process with older settings is told so.

    The ledger has limit, window and generation of the later ones.
    """
    ledger = Ledger(path)
    assert ledger.configure(4, WINDOW, LONGEST, 7) == Opened(created=True)
    assert ledger.configure(400, WINDOW / 2, LONGEST, 6) == Opened(older=True)
    assert (ledger.counts().limit, ledger.counts().window_s) == (4, WINDOW)
    assert ledger.stands(4, WINDOW, LONGEST, 7)
    assert ledger.stands(400, WINDOW, LONGEST, 6)
    assert not ledger.stands(4, WINDOW, LONGEST, 8)
    assert not ledger.stands(5, WINDOW, LONGEST, 7)


def test_the_same_settings_mend_a_change_that_was_cut_off(path: Path) -> None:
    """A ledger whose change was cut off after the generation gets the generation's limits."""
    fresh(path)
    poke(path, GENERATION=7)
    assert Ledger(path).configure(400, WINDOW, LONGEST, 7) == Opened(changed=True)


def test_a_ledger_of_before_there_were_generations(path: Path) -> None:
    """Any settings are later than it."""
    fresh(path)
    assert Ledger(path).configure(5, WINDOW, LONGEST, 1) == Opened(changed=True)


def test_another_boot_is_taken_over_by_the_limits_that_stand(path: Path) -> None:
    """Older settings that come first after a boot make the ledger this boot's.

    They leave its limit and window.
    """
    ledger = Ledger(path)
    ledger.configure(4, WINDOW, LONGEST, 7)
    poke(path, BOOT=1)
    assert ledger.configure(400, WINDOW / 2, LONGEST, 6) == Opened(taken_over=True, older=True)
    assert ledger.counts().limit == 4


def test_a_generation_is_above_that_of_every_ledger(
    loaded: Callable[[str], Settings], path: Path
) -> None:
    """Also where the clock was set back since; what is no ledger, or holds nonsense, has none."""
    settings = loaded(f"[app]\nstate_dir = {path.parents[1]}\n")
    assert accepted(settings) == settings
    ahead = settings.generation + 10**12
    Ledger(path).configure(4, WINDOW, LONGEST, ahead)
    path.with_name("short.ledger").write_text("x")
    path.with_name("directory.ledger").mkdir()
    fresh(path.with_name("foul.ledger"))
    poke(path.with_name("foul.ledger"), GENERATION=MOST)
    assert accepted(settings).generation == ahead + 1
    assert accepted(settings, ahead + 5).generation == ahead + 6
    assert latest(path.parents[2]) == 0


def test_the_watchdog_says_when_every_ledger_has_the_settings(
    loaded: Callable[[str], Settings], tmp_path: Path
) -> None:
    """An edit that does not concern the ledgers reaches them, too.

    A reload waits for their generation.
    """
    text = (
        f"[app]\nstate_dir = {tmp_path}/state\nrun_dir = {tmp_path}/run\n[quota:x]\nlimit = 4/h\n"
    )
    watchdog = Watchdog(loaded(text))
    watchdog.ledgers.configure()
    first = watchdog.daemon.heartbeat.generation
    assert first == latest(tmp_path / "state")
    watchdog._apply(loaded(text + "[beat]\nenabled = false\n"))
    assert watchdog.daemon.heartbeat.generation == first
    watchdog._look()
    assert first < watchdog.daemon.heartbeat.generation == latest(tmp_path / "state")


def test_a_ledger_that_is_locked_is_not_said_to_have_the_settings(
    loaded: Callable[[str], Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat keeps the generation of before until the ledger has the new one.

    This holds also where the edit does not concern the watchdog.
    """
    monkeypatch.setattr("warren.quotas.mapped_file.TIMEOUT", 0.01)
    text = (
        f"[app]\nstate_dir = {tmp_path}/state\nrun_dir = {tmp_path}/run\n[quota:x]\nlimit = 4/h\n"
    )
    watchdog = Watchdog(loaded(text))
    watchdog.ledgers.configure()
    first = watchdog.daemon.heartbeat.generation
    with open(watchdog.ledgers["x"].path, "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        watchdog._apply(loaded(text + "[beat]\nenabled = false\n"))
        watchdog._look()
        assert watchdog.daemon.heartbeat.generation == first
    watchdog._look()
    assert first < watchdog.daemon.heartbeat.generation == latest(tmp_path / "state")


def test_the_watchdog_takes_back_what_nobody_has_accepted(
    loaded: Callable[[str], Settings], tmp_path: Path
) -> None:
    """A foreign limit, or a missing generation, is put right at the next look."""
    watchdog = Watchdog(loaded(f"[app]\nstate_dir = {tmp_path}/state\n[quota:x]\nlimit = 4/h\n"))
    watchdog.ledgers.configure()
    Ledger(watchdog.ledgers["x"].path).configure(400, WINDOW, LONGEST)
    watchdog._watch("x")
    assert watchdog.ledgers["x"].counts().limit == 4
    poke(watchdog.ledgers["x"].path, GENERATION=1)
    watchdog._watch("x")
    assert latest(tmp_path / "state") == watchdog.settings.generation
