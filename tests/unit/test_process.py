"""Who a process is, also where the kernel hides the processes of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.forks import child, end
from warren.system.process import Process, current_process, process_of


def test_the_dead_are_dead() -> None:
    """A process that has ended is not alive, nor is another one that got its number."""
    pid = child(lambda: None)
    ended = process_of(pid)
    end(pid)
    assert ended is None or not ended.alive
    assert current_process().alive
    assert not Process(os.getpid(), current_process().start + 1).alive


@pytest.mark.parametrize(
    "hidden", [PermissionError(1, "hidepid=1"), FileNotFoundError(2, "hidepid=2")]
)
def test_a_process_that_the_kernel_hides(monkeypatch: pytest.MonkeyPatch, hidden: OSError) -> None:
    """A process that this user may not see counts as alive, though nothing is known of it.

    Its slots are not given away.
    """

    def refuse(*_: object) -> bytes:
        raise hidden

    def another_users(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(os, "kill", another_users)
    assert Process(4711, 1).alive
    assert process_of(4711) is None


def test_a_number_that_no_process_can_have() -> None:
    """A number out of a damaged file is of a dead process, whatever it is."""
    assert not Process(1 << 43, 1).alive
    assert process_of(1 << 43) is None
