"""The ledger with real files: calls, boots, power cuts, other terms, full disks."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from support.forks import child, end
from support.ledgers import LONGEST, NOBODY, WINDOW, fresh, poke_slot
from support.wait import TIMEOUT
from warren.quotas import ledger_file
from warren.quotas.layout import HEADER_WORDS, WORD, Head, Slot
from warren.quotas.ledger import BATCH, Ledger, Opened, now_ns
from warren.quotas.ledger_file import LedgerDamaged
from warren.quotas.mapped_file import MappedFile
from warren.system.process import current_process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of a test is."""
    return tmp_path / "quota" / "x.ledger"


def test_a_new_ledger(path: Path) -> None:
    """A new ledger begins with its whole limit free, and the next start leaves it alone."""
    assert Ledger(path).configure(4, WINDOW, LONGEST) == Opened(created=True)
    ledger = Ledger(path)
    assert ledger.configure(4, WINDOW, LONGEST) == Opened()
    assert ledger.counts().free == 4


def test_reserve_is_all_or_none(path: Path) -> None:
    """Several slots are given together or not at all.

    A caller that asked for too many is counted as refused.
    """
    ledger = fresh(path)
    assert len(ledger.reserve(3, current_process()) or ()) == 3
    assert ledger.reserve(2, current_process()) is None
    assert (ledger.counts().free, ledger.counts().refused) == (1, 1)


def test_a_slot_cools_for_the_window_and_the_drift_of_clocks(path: Path) -> None:
    """An answered call cools its slot for slightly more than the window.

    An unknown call cools it for the longest call besides.
    """
    ledger = fresh(path, 2)
    for answered, least in ((True, WINDOW), (False, WINDOW + LONGEST)):
        before = now_ns()
        assert ledger.settle(ledger.reserve(1, current_process()) or (), answered=answered) == 1
        after = now_ns()
        with ledger._file.locked() as slots:
            until = max(slots.column(Slot.UNTIL).tolist())
        assert least + WINDOW / 2001 < (until - before) / 1e9
        assert (until - after) / 1e9 < least * 1.001


def test_what_a_restart_finds(path: Path) -> None:
    """Another process finds the slots as they were left, and cannot use a ticket twice."""
    tickets = fresh(path).reserve(2, current_process()) or ()
    ledger = fresh(path)
    assert ledger.settle(tickets, answered=True) == 2
    assert ledger.settle(tickets, answered=True) == 0
    assert ledger.refund(tickets) == 0
    assert not ledger.claim(tickets, current_process())
    assert (ledger.counts().free, ledger.counts().cooling) == (2, 2)


def test_wait(path: Path) -> None:
    """`wait_s` is 0 for what is free now, and the time of the last of several slots.

    It is None when they are open.
    """
    ledger = fresh(path)
    tickets = ledger.reserve(4, current_process()) or ()
    assert ledger.wait_s() is None
    ledger.refund(tickets[:1])
    assert ledger.wait_s() == 0.0
    assert ledger.wait_s(2) is None
    ledger.settle(tickets[1:2], answered=True)
    assert WINDOW - TIMEOUT < (ledger.wait_s(2) or 0) < WINDOW + 5


def test_close_for(path: Path) -> None:
    """A pause that a provider asks for is kept, never shortened, and no longer than a week."""
    ledger = fresh(path)
    ledger.close_for(1000)
    ledger.close_for(10)
    assert ledger.reserve(1, current_process()) is None
    assert 1000 - TIMEOUT < (ledger.wait_s() or 0) <= 1000
    ledger.close_for(1e18)
    assert (ledger.wait_s() or 0) <= 7 * 86400
    assert not ledger.configure(4, WINDOW, LONGEST).damage


def test_reap(path: Path) -> None:
    """The slot of a process that ended cools, from then.

    The slot of a living or stopped process stays its own.
    """

    def reserve_and_stop() -> None:
        ledger.reserve(1, current_process())
        os.kill(os.getpid(), signal.SIGSTOP)

    ledger = fresh(path)
    pid = child(reserve_and_stop)
    os.waitpid(pid, os.WUNTRACED)
    ledger.reserve(1, current_process())
    assert ledger.reap() == 0
    os.kill(pid, signal.SIGKILL)
    end(pid)
    assert ledger.reap() == 1
    assert (ledger.counts().open, ledger.counts().cooling) == (1, 1)


def test_reclaim(path: Path) -> None:
    """A slot that no process has claimed from its owner is free again at once.

    Its claim is refused then; a claimed slot stays.
    """
    ledger = fresh(path)
    mine, theirs, settled = ((ledger.reserve(1, current_process()) or ()) for _ in range(3))
    assert ledger.claim(theirs, NOBODY)
    ledger.settle(settled, answered=True)
    assert ledger.reclaim((*mine, *theirs, *settled), current_process()) == 1
    assert (ledger.counts().free, ledger.counts().open, ledger.counts().cooling) == (2, 1, 1)
    assert not ledger.claim(mine, NOBODY)


def test_abandon(path: Path) -> None:
    """All slots of one owner cool, as long as a dead one's; those of others stay open."""
    ledger, began = fresh(path), now_ns()
    ledger.reserve(2, current_process())
    ledger.reserve(1, NOBODY)
    assert ledger.abandon(current_process()) == 2
    assert (ledger.counts().open, ledger.counts().cooling) == (1, 2)
    assert (ledger.wait_s(3) or 0) > WINDOW + LONGEST - (now_ns() - began) / 1e9


def test_close(path: Path) -> None:
    """A ledger that is closed keeps no file open, and opens it again when it is used."""
    before = len(os.listdir("/proc/self/fd"))
    ledgers = [Ledger(path) for _ in range(10)]
    for ledger in ledgers:
        ledger.configure(4, WINDOW, LONGEST)
    assert len(os.listdir("/proc/self/fd")) >= before + 10
    for ledger in ledgers:
        ledger.close()
        ledger.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert ledgers[0].counts().free == 4


def test_release_cooled_brings_in_what_has_cooled(path: Path) -> None:
    """What has cooled is brought in, in batches that hold the lock for a short time only."""
    ledger = fresh(path, BATCH + 5, 1.0)
    with ledger._file.locked() as slots:
        tickets = [slots.reserve(NOBODY, 0) for _ in range(BATCH + 5)]
        for ticket in tickets:
            slots.settle(ticket, 1)
    for free in (BATCH, BATCH + 5):
        ledger.release_cooled()
        with ledger._file.locked() as slots:
            assert slots.words[Head.FREE_COUNT] == free


def test_after_a_boot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a boot as many slots as were in use cool for a full window; the others are free."""
    ledger = fresh(path, 40)
    tickets = ledger.reserve(5, current_process()) or ()
    ledger.settle(tickets[:2], answered=True)
    monkeypatch.setattr(ledger_file, "boot", lambda: "the next one")
    assert ledger.configure(40, WINDOW, LONGEST) == Opened(taken_over=True)
    counts = ledger.counts()
    assert counts.open == 0
    assert 5 <= counts.cooling <= 5 + 40 // 16
    assert counts.free == 40 - counts.cooling
    assert ((counts.next_free or 0) - now_ns()) / 1e9 > WINDOW
    assert not ledger.claim(tickets, current_process())
    assert ledger.configure(40, WINDOW, LONGEST) == Opened()


def test_a_pause_outlasts_a_boot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a boot the rest of a provider's pause is kept, by the wall clock with a margin.

    All of it is kept when that clock is wrong.
    """
    fresh(path).close_for(1000)
    asked, kept = time.time_ns(), path.read_bytes()
    for number, (later, least, most) in enumerate(
        [(0, 900, 1001), (300, 640, 770), (-(10**6), 900, 1001), (1059, 0, 2), (10**6, 0, 0)]
    ):
        path.write_bytes(kept)
        with monkeypatch.context() as reboot:
            reboot.setattr(ledger_file, "boot", lambda number=number: f"boot {number}")
            reboot.setattr(time, "time_ns", lambda later=later: asked + later * 10**9)
            ledger = fresh(path)
            assert least <= (ledger.wait_s() or 0) <= most, later


def test_power_cut(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the header that was synced last covers every slot in use.

    This holds even with slots of long before.
    """
    synced = bytearray(HEADER_WORDS * WORD)
    sync = MappedFile.sync_header

    def watched(file: MappedFile) -> None:
        sync(file)
        synced[:] = path.read_bytes()[: HEADER_WORDS * WORD]

    monkeypatch.setattr(MappedFile, "sync_header", watched)
    ledger = fresh(path, 64)
    old = path.read_bytes()[HEADER_WORDS * WORD :]
    synced[:] = path.read_bytes()[: HEADER_WORDS * WORD]
    syncs = 0
    for step in range(64):
        before = bytes(synced)
        assert ledger.reserve(1, current_process())
        syncs += before != bytes(synced)
        if step % 9 == 0:
            ledger.release_cooled()
        disk = tmp_path / f"disk-{step}" / "x.ledger"
        disk.parent.mkdir()
        disk.write_bytes(bytes(synced) + old)
        with monkeypatch.context() as reboot:
            reboot.setattr(ledger_file, "boot", lambda: "after the cut")
            after = fresh(disk, 64)
            assert after.counts().cooling >= step + 1
    assert syncs <= 16 + 8  # and it does not cost a sync for each call


def test_a_sync_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk does not take the mark, no slot is handed out.

    This holds for the second attempt, too.
    """
    ledger = fresh(path)

    def failing(file: MappedFile) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(MappedFile, "sync_header", failing)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output"):
                ledger.reserve(1, current_process())
        assert ledger.counts().open == 0
    assert ledger.reserve(1, current_process())


def test_limit_raised_and_lowered_while_others_use_it(path: Path) -> None:
    """A process that has the ledger mapped follows a new limit at its next use.

    A lowered limit admits nothing above it.
    """
    other = fresh(path, 2)
    tickets = other.reserve(2, current_process()) or ()
    ledger = Ledger(path)
    assert ledger.configure(500, WINDOW, LONGEST) == Opened(changed=True)
    assert len(other.reserve(498, current_process()) or ()) == 498
    assert other.reserve(1, current_process()) is None
    ledger.configure(3, WINDOW, LONGEST)
    assert other.reserve(1, current_process()) is None
    other.refund(tickets)
    assert other.reserve(1, current_process()) is None
    assert other.counts().free == 0
    assert path.stat().st_size == ledger_file.size(500)


def test_a_window_made_longer(path: Path) -> None:
    """After the window became longer, calls that cooled by the old one cool by the new one."""
    ledger, began = fresh(path, 2, 3600.0), now_ns()
    ledger.settle(ledger.reserve(1, current_process()) or (), answered=True)
    with ledger._file.locked() as slots:
        used = slots.column(Slot.UNTIL).tolist().index(max(slots.column(Slot.UNTIL).tolist()))
        slots.put(used, Slot.UNTIL, now_ns() - 10**9)  # it ended an hour and a second ago
        slots.release_due(now_ns(), 9)
        assert slots.counts(now_ns()).free == 2
    ledger.configure(2, 7200.0, LONGEST)
    counts = ledger.counts()
    assert (counts.free, counts.cooling) == (1, 1)
    assert ((counts.next_free or 0) - began) / 1e9 > 3590
    left = ((counts.next_free or 0) - now_ns()) / 1e9
    assert left < 3610


def test_a_window_made_shorter(path: Path) -> None:
    """A shorter window frees what it no longer counts, and is no damage to the next start."""
    ledger = fresh(path)
    began = now_ns()
    ledger.settle(ledger.reserve(1, current_process()) or (), answered=True)
    ledger.configure(4, 100.0, LONGEST)
    left = ledger.wait_s(4) or 0
    assert 100 - (now_ns() - began) / 1e9 < left < 100.1 + LONGEST
    assert ledger.configure(4, 100.0, LONGEST) == Opened()


def test_full_disk(path: Path) -> None:
    """A ledger that cannot grow or be made raises OSError, and stays as it was."""

    def in_vain() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ledger_file.size(10), ledger_file.size(10)))
        for _ in range(3):
            with pytest.raises(OSError, match="too large"):
                ledger.configure(500, 2 * WINDOW, LONGEST)
            with pytest.raises(OSError, match="too large"):
                Ledger(path.with_name("y.ledger")).configure(500, WINDOW, LONGEST)
        poke_slot(path, 0, Slot.STATE, 9)  # which only a start finds
        for _ in range(3):
            with pytest.raises(OSError, match="too large"):
                ledger.configure(500, WINDOW, LONGEST)
            with pytest.raises(LedgerDamaged):
                ledger.reserve(1, current_process())

    ledger = fresh(path, 4)
    ledger.settle(ledger.reserve(3, current_process()) or (), answered=True)
    assert end(child(in_vain)) == 0
    assert [
        file.name for file in sorted(path.parent.iterdir()) if not file.name.startswith(".")
    ] == ["x.ledger"]
    assert ledger.configure(4, WINDOW, LONGEST).damage
    assert ledger.counts().cooling == 4


def test_growing_on_a_full_disk_changes_nothing(path: Path) -> None:
    """A limit for which the disk has no room leaves the old limit and cooling times.

    The window stays as well, however often it is tried.
    """

    def in_vain() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ledger_file.size(10), ledger_file.size(10)))
        for _ in range(5):
            with pytest.raises(OSError, match="too large"):
                ledger.configure(500, 2 * WINDOW, LONGEST)

    ledger = fresh(path, 4)
    ledger.settle(ledger.reserve(3, current_process()) or (), answered=True)
    before = ledger.counts()
    assert end(child(in_vain)) == 0
    assert ledger.counts() == before
    assert ledger.configure(4, WINDOW, LONGEST) == Opened()
