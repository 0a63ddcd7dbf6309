"""Processes that the kernel freezes together.

They handle no signal meanwhile, and are not told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.wait import until

_ROOT = Path("/sys/fs/cgroup/freezer")


def can_freeze() -> bool:
    """Whether this machine lets us: version 1 of control groups, and root."""
    return os.access(_ROOT / "cgroup.procs", os.W_OK)


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Freezes these processes for the time of the block.

    They go back to the group that we are in.
    """
    group = _ROOT / f"warren-frozen-{os.getpid()}"
    group.mkdir(exist_ok=True)
    try:
        for pid in pids:
            _move(pid, group)
        (group / "freezer.state").write_text("FROZEN", encoding="ascii")
        until(lambda: _state(group) == "FROZEN", what="a frozen group")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED", encoding="ascii")
        until(lambda: _state(group) == "THAWED", what="a thawed group")
        until(lambda: _emptied(group), what="an empty group")
        group.rmdir()


def _state(group: Path) -> str:
    return (group / "freezer.state").read_text(encoding="ascii").strip()


def _emptied(group: Path) -> bool:
    left = (group / "cgroup.procs").read_text(encoding="ascii").split()
    for pid in left:
        _move(int(pid), _ROOT)
    return not left


def _move(pid: int, group: Path) -> None:
    with suppress(OSError):  # it has ended
        (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
