"""Who may use a ledger when: processes and threads, stopped, interrupted, raced."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import pytest

from support.figures import Figure
from support.forks import child, end
from support.ledgers import LONGEST, NOBODY, WINDOW, free_to_lock, fresh, whole
from support.wait import TIMEOUT
from warren.quotas import mapped_file
from warren.quotas.layout import Head
from warren.quotas.ledger import Ledger
from warren.quotas.mapped_file import LedgerBusy
from warren.quotas.ticket import Ticket
from warren.system.process import current_process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger of a test is."""
    return tmp_path / "quota" / "x.ledger"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a lock."""
    monkeypatch.setattr(mapped_file, "TIMEOUT", 0.05)
    monkeypatch.setattr(mapped_file, "MAKING_TIMEOUT", 0.05)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody waits for a lock as long as a busy machine may take."""
    monkeypatch.setattr(mapped_file, "TIMEOUT", TIMEOUT)
    monkeypatch.setattr(mapped_file, "MAKING_TIMEOUT", TIMEOUT)


@pytest.mark.usefixtures("hurried")
def test_a_stopped_holder(path: Path, figure: Figure) -> None:
    """A process that is stopped with the lock costs the others LedgerBusy.

    It costs nothing once it is killed.
    """

    def hold() -> None:
        with ledger._file.locked() as slots:
            slots.words[Head.BUSY] = 1
            slots.words[Head.FREE_HEAD] = 77  # in the middle of a change
            os.kill(os.getpid(), signal.SIGSTOP)

    ledger = fresh(path)
    pid = child(hold)
    os.waitpid(pid, os.WUNTRACED)
    began = time.monotonic()
    for act in (
        ledger.reap,
        ledger.counts,
        lambda: ledger.reserve(1, current_process()),
        lambda: ledger.configure(4, WINDOW, LONGEST),
    ):
        with pytest.raises(LedgerBusy):
            act()
    figure(
        "a ledger whose holder is stopped: four refusals",
        time.monotonic() - began,
        "four times 0.05 s",
    )
    os.kill(pid, signal.SIGKILL)
    end(pid)
    assert len(ledger.reserve(4, current_process()) or ()) == 4


def test_one_who_must_not_wait(path: Path) -> None:
    """A caller with a shorter timeout is told sooner that the lock is held.

    The others wait on for a holder that is only slow.
    """
    fresh(path)
    # load: the lock is held throughout; a busy machine only makes the refusal later
    holder, hasty, patient = Ledger(path), Ledger(path, timeout=0.05), Ledger(path, timeout=TIMEOUT)
    with holder._file.locked():
        with pytest.raises(LedgerBusy, match=r"for more than 0\.05 s"):
            hasty.reserve(1, current_process())
        waiting = threading.Thread(target=patient.reserve, args=(1, current_process()))
        waiting.start()
        waiting.join(0.2)  # load: it waits for longer, whatever comes
        assert waiting.is_alive()
    waiting.join(TIMEOUT)
    assert fresh(path).counts().open == 1


@pytest.mark.usefixtures("hurried")
def test_a_stopped_maker(path: Path) -> None:
    """A process that is stopped while it makes a ledger does not hold up the others for ever."""

    def hold() -> None:
        with mapped_file.making(path):
            os.kill(os.getpid(), signal.SIGSTOP)

    fresh(path)
    pid = child(hold)
    os.waitpid(pid, os.WUNTRACED)
    with pytest.raises(LedgerBusy):
        fresh(path)
    os.kill(pid, signal.SIGKILL)
    end(pid)
    fresh(path)


@pytest.mark.usefixtures("hurried")
def test_the_lock_outlives_growing_and_forks(path: Path) -> None:
    """The lock outlasts growing the file, another open and close of it, and a forked child."""

    def use() -> None:
        with pytest.raises(LedgerBusy):
            ledger.reserve(1, current_process())

    ledger = fresh(path, 2)
    other = Ledger(path)
    with ledger._file.locked():
        ledger._file.grow(100)
        path.read_bytes()
        assert not free_to_lock(path)
        assert end(child(use)) == 0
        with pytest.raises(LedgerBusy):
            other.reserve(1, current_process())
        assert not free_to_lock(path)
    assert free_to_lock(path)


@pytest.mark.usefixtures("hurried")
def test_used_within_itself(path: Path) -> None:
    """A signal handler that uses the ledger which it interrupted is refused.

    It is not let in between two stores.
    """
    ledger = fresh(path)
    with ledger._file.locked():
        with pytest.raises(LedgerBusy):
            ledger.reserve(1, current_process())
        assert not free_to_lock(path)
    assert ledger.reserve(1, current_process())


@pytest.mark.usefixtures("unhurried")
def test_threads_with_ledgers_of_their_own(path: Path) -> None:
    """Threads of one process share the limit, whether they share the object or have one each."""
    shared = fresh(path, 300)
    ledgers = [shared, shared, Ledger(path), Ledger(path)]
    taken: list[Ticket] = []

    def take(ledger: Ledger) -> None:
        while tickets := ledger.reserve(1, current_process()):
            taken.extend(tickets)

    threads = [threading.Thread(target=take, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len({ticket.slot for ticket in taken}) == 300


@pytest.mark.usefixtures("unhurried")
def test_two_openers_at_once(path: Path) -> None:
    """Of many processes that start at once one makes the ledger, and all have the same one."""

    def opener() -> None:
        ledger = fresh(path, 50)
        for _ in range(10):
            assert ledger.reserve(1, current_process())

    pids = [child(opener) for _ in range(5)]
    assert [end(pid) for pid in pids] == [0] * 5
    ledger = fresh(path, 50)
    assert ledger.counts().open == 50
    assert ledger.reap() == 50


@pytest.mark.usefixtures("unhurried")
def test_processes_while_the_limit_changes(path: Path) -> None:
    """While the limit goes up and down no more slots are held than the highest limit.

    Processes reserve and settle meanwhile, and lose no slot.
    """
    ledger = fresh(path, 30)

    def worker() -> None:
        for round_ in range(150):
            tickets = ledger.reserve(1 + round_ % 3, current_process())
            if tickets and round_ % 4:
                ledger.refund(tickets)
            elif tickets:
                ledger.settle(tickets, answered=bool(round_ % 8))

    pids = [child(worker) for _ in range(4)]
    for limit in (5, 60, 10, 90, 1, 70, 30):
        fresh(path, limit)
        counts = ledger.counts()
        assert counts.open + counts.cooling <= 90
    assert [end(pid) for pid in pids] == [0] * 4
    whole(ledger, 30)


def test_interrupted_in_a_call(path: Path) -> None:
    """An exception from a signal, such as a soft time limit, leaves no lock behind.

    It may come at any moment, and the lists work afterwards.
    """

    calling = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Python calls this some instructions after the signal, perhaps behind the call.
        if calling:
            raise TimeoutError("soft time limit")

    ledger = fresh(path, 3000)
    dice = random.Random(7)
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for _ in range(1500):
            calling = True
            try:
                signal.setitimer(signal.ITIMER_REAL, dice.uniform(1e-6, 60e-6))
                ledger.settle(ledger.reserve(1, NOBODY) or (), answered=True)
                calling = False
            except TimeoutError:
                calling = False
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert free_to_lock(path)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 100
    assert len(ledger.reserve(1, current_process()) or ()) == 1
    ledger.reap()
    counts = ledger.counts()
    assert (counts.open, counts.free + counts.cooling) == (1, 2999)
