"""Calls of a task: `with quota(...).call() as call`, on a real ledger."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from support.figures import Figure
from support.forks import child, end
from support.ledgers import LONGEST, WINDOW, fresh, poke
from support.wait import TIMEOUT
from warren.quotas import client, mapped_file
from warren.quotas.client import NoAllowance, quota
from warren.quotas.ledger import Ledger
from warren.system.process import Process, current_process


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of quota `x`, of four slots, known to the client."""
    ledger = fresh(tmp_path / "quota" / "x.ledger")
    client.use({"x": ledger})
    yield ledger
    client.use({})
    client.held.set(None)
    client._pending_settlements.clear()
    client._under_way.clear()


def admit(ledger: Ledger, slots: int = 1) -> None:
    """What worker and pool child do before a task that the quota governs."""
    client.held.set({"x": list(ledger.reserve(slots, current_process()) or ())})


def use_of(ledger: Ledger) -> tuple[int, int, int]:
    """Slots that are free, open and cooling."""
    counts = ledger.counts()
    return counts.free, counts.open, counts.cooling


def test_a_call(ledger: Ledger) -> None:
    """A slot is open inside the block and cools from its end."""
    with quota("x").call():
        assert use_of(ledger) == (3, 1, 0)
    assert use_of(ledger) == (3, 0, 1)


def test_the_first_call_uses_the_slot_of_the_task(ledger: Ledger) -> None:
    """The slot that admitted the task serves its first call; each further call has its own slot."""
    admit(ledger)
    for cooling in (1, 2):
        with quota("x").call():
            assert use_of(ledger)[1] == 1
        assert use_of(ledger) == (4 - cooling, 0, cooling)
    assert client.held.get() == {"x": []}


def test_a_call_that_was_not_sent(ledger: Ledger) -> None:
    """A call that provably never left gives its slot back at once."""
    call = quota("x").call()
    with suppress(ConnectionRefusedError), call:
        call.not_sent()
        raise ConnectionRefusedError
    assert use_of(ledger) == (4, 0, 0)


def test_a_call_that_failed(ledger: Ledger) -> None:
    """A call of unknown outcome counts, and for as much longer as it may still be under way."""
    began = time.monotonic()
    with pytest.raises(TimeoutError), quota("x").call():
        raise TimeoutError
    assert use_of(ledger) == (3, 0, 1)
    assert (ledger.wait_s(4) or 0) > WINDOW + LONGEST - (time.monotonic() - began)


def test_the_same_call_again(ledger: Ledger) -> None:
    """One object can make calls one after the other, but not two at once.

    Each has its own slot and its own outcome.
    """
    call = quota("x").call()
    with call:
        call.not_sent()
    with call:
        pass
    assert use_of(ledger) == (3, 0, 1)
    with call, pytest.raises(RuntimeError, match="under way"), call:
        pass
    assert use_of(ledger) == (2, 0, 2)


def test_no_slot_in_time(ledger: Ledger, figure: Figure) -> None:
    """Who waits no longer than a time is told within it; who has none at all, at once."""
    ledger.reserve(4, current_process())
    for timeout in (0.0, 0.3):
        began = time.monotonic()
        with (
            pytest.raises(NoAllowance, match="quota x had no free slot within"),
            quota("x").call(timeout),
        ):
            pass
        figure(
            f"no free slot within {timeout:g} s: told after",
            time.monotonic() - began,
            f"<= {timeout:g} s",
        )


def test_waiting_for_a_slot(ledger: Ledger) -> None:
    """A call waits until another one gives its slot back."""
    tickets = ledger.reserve(4, current_process()) or ()
    timer = threading.Timer(0.1, ledger.refund, (tickets[:1],))
    timer.start()
    with quota("x").call(TIMEOUT):
        pass
    timer.join()
    assert use_of(ledger) == (0, 3, 1)


def test_an_unknown_quota(ledger: Ledger) -> None:
    """The name of a quota that this process does not have is told with those that it has."""
    with pytest.raises(NoAllowance, match=r"quota y: expected a \[quota:y\] of this host, found x"):
        quota("y")


@pytest.mark.parametrize(
    ("status", "headers", "closed"),
    [
        (429, {"Retry-After": "100"}, 100),
        (503, {"retry-after": "7"}, 7),
        (200, {"Retry-After": "100"}, 0),
        (429, {}, 0),
    ],
)
def test_observe(
    ledger: Ledger,
    caplog: pytest.LogCaptureFixture,
    status: int,
    headers: dict[str, str],
    closed: int,
) -> None:
    """A refusal with Retry-After closes the quota for so long, and nothing else does.

    The log has each pause once.
    """
    caplog.set_level(logging.WARNING)
    began = time.monotonic()
    with quota("x").call() as call:
        for _ in range(3):
            call.observe(status, headers)
    left = ledger.wait_s() or 0
    assert closed - (time.monotonic() - began) <= left <= closed
    told = [record.msg["pause_s"] for record in caplog.records if isinstance(record.msg, dict)]
    assert told == ([closed] if closed else [])


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a lock."""
    monkeypatch.setattr(mapped_file, "TIMEOUT", 0.02)


@pytest.mark.usefixtures("hurried")
def test_a_busy_ledger_at_the_end_of_a_call(ledger: Ledger) -> None:
    """A call that cannot be settled fails no task, and its slot serves no other call.

    It is settled with the next one.
    """
    admit(ledger, 2)
    with Ledger(ledger.path)._file.locked(), pytest.raises(NoAllowance), quota("x").call(0.1):
        pass
    with quota("x").call() as call:
        holder = Ledger(ledger.path)._file.locked()
        holder.__enter__()
        call.observe(429, {"Retry-After": "50"})
    holder.__exit__(None, None, None)
    assert use_of(ledger) == (2, 2, 0)
    with quota("x").call():
        assert use_of(ledger) == (2, 2, 0)
    assert use_of(ledger) == (2, 0, 2)


def test_a_slot_that_no_longer_stands(ledger: Ledger) -> None:
    """A task whose slot was lost with a damaged ledger needs a slot of the new ledger to call."""
    admit(ledger)
    poke(ledger.path, VERSION=9)
    assert fresh(ledger.path).counts().cooling == 4
    with pytest.raises(NoAllowance), quota("x").call(0.1):
        pass
    assert client.held.get() == {"x": []}


def test_a_ledger_that_is_mended_meanwhile(ledger: Ledger) -> None:
    """A call waits while the ledger is gone, and continues when it is there again."""
    ledger.path.rename(ledger.path.with_name("gone"))
    timer = threading.Timer(0.1, ledger.path.with_name("gone").rename, (ledger.path,))
    timer.start()
    with quota("x").call(TIMEOUT):
        pass
    timer.join()
    assert use_of(ledger) == (3, 0, 1)


def test_a_task_that_dies_in_its_call(ledger: Ledger) -> None:
    """The slot of a process that ends inside the block is open until it is reaped, then cools."""

    def die() -> None:
        quota("x").call().__enter__()

    assert end(child(die)) == 0
    assert use_of(ledger) == (3, 1, 0)
    assert ledger.reap() == 1
    assert use_of(ledger) == (3, 0, 1)


def test_calls_that_are_cut_off(ledger: Ledger) -> None:
    """Wherever a soft time limit cuts a call off, after the task no slot of it is open.

    While a thread calls, all stay open.
    """

    def cut_at(event_number: int) -> Any:
        left = [event_number]

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            # Where Python delivers signals: when a function begins, and in the caller when it has
            # returned.
            if not frame.f_code.co_filename.endswith(
                ("quotas/client.py", "quotas/ledger.py", "quotas/slots.py")
            ):
                return None
            if event in ("call", "return"):
                left[0] -= 1
                if left[0] < 0:
                    raise SoftTimeLimitExceeded
            return trace

        return trace

    def call_until(event_number: int) -> bool:
        call, before = quota("x").call(), sys.gettrace()
        try:
            sys.settrace(cut_at(event_number))
            with call:
                pass
        except SoftTimeLimitExceeded:
            return True
        finally:
            sys.settrace(before)
        return False

    ledger.configure(300, WINDOW, LONGEST)
    events = 0
    while call_until(events):
        events += 1
        # Makes the lists again that the cut has left: else the next call begins with that.
        ledger.counts()
    assert events > 20
    left = ledger.counts().open
    assert left > 5
    calling, done = threading.Event(), threading.Event()

    def call() -> None:
        with quota("x").call():
            calling.set()
            done.wait(TIMEOUT)

    thread = threading.Thread(target=call)
    thread.start()
    calling.wait(TIMEOUT)
    client.settle_cut_off()
    assert ledger.counts().open == left + 1
    done.set()
    thread.join()
    client.settle_cut_off()
    assert ledger.counts().open == 0


def test_a_busy_ledger_after_a_cut(ledger: Ledger) -> None:
    """What cannot be settled after one task is settled after the next."""
    # load: the test itself holds the lock, or nobody does
    hasty = Ledger(ledger.path, timeout=0.02)
    client.use({"x": hasty})
    quota("x").call().__enter__()
    with ledger._file.locked():
        client.settle_cut_off()
    assert use_of(ledger) == (3, 1, 0)
    client.settle_cut_off()
    assert use_of(ledger) == (3, 0, 1)


def test_a_slot_that_another_process_has_by_now(ledger: Ledger) -> None:
    """A task never calls with a slot that was taken for a dead one's and given to somebody else."""
    admit(ledger)
    stolen = (client.held.get() or {})["x"][0]
    ledger.settle([stolen], answered=False)
    with quota("x").call():
        with ledger._file.locked() as slots:
            owners = [(ticket, owner) for ticket, owner in slots.open_tickets()]
        assert [owner for _, owner in owners] == [
            Process(current_process().pid, current_process().start)
        ]
        assert owners[0][0] != stolen
    assert use_of(ledger) == (2, 0, 2)
