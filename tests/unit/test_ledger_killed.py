"""Processes killed at every line of what they do to a ledger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.forks import killed_at
from support.ledgers import LONGEST, NOBODY, WINDOW, free_to_lock, fresh, poke, poke_slot, whole
from warren.quotas import mapped_file
from warren.quotas.layout import Slot
from warren.quotas.ledger import Ledger, now_ns
from warren.system.process import current_process

#: The room of quotas.
ROOM = os.path.dirname(mapped_file.__file__)


def lines(
    directory: Path,
    prepare: Callable[[Path], object],
    work: Callable[[Path], object],
    step: int = 1,
) -> Iterator[Path]:
    """Yield the ledger after `work` was killed at each of its lines.

    Only every step-th line is taken, to save time; `prepare` makes it again.
    """
    for line in range(0, 100_000, step):
        path = directory / "quota" / "x.ledger"
        shutil.rmtree(path.parent, ignore_errors=True)
        prepare(path)
        more = killed_at(line, partial(work, path), ROOM)
        yield path
        if not more:
            return


def used(path: Path) -> Ledger:
    """A ledger of four: one slot open by nobody who lives, one cooling, two free."""
    ledger = fresh(path)
    tickets = ledger.reserve(2, NOBODY) or ()
    ledger.settle(tickets[:1], answered=True)
    return ledger


@pytest.mark.parametrize(
    ("limit", "window", "cooling"),
    [(4, WINDOW, 2), (9, WINDOW, 2), (2, WINDOW, 2), (9, 2 * WINDOW, 2), (3, WINDOW / 2, 2)],
    ids=["same", "raised", "lowered", "longer", "shorter"],
)
def test_killed_while_it_is_configured(
    tmp_path: Path, limit: int, window: float, cooling: int
) -> None:
    """After a kill at any line of a change of limits, the next start finishes it.

    No call is forgotten.
    """
    for path in lines(
        tmp_path, used, lambda path: Ledger(path).configure(limit, window, LONGEST), 3
    ):
        other = Ledger(path)
        other.reap()  # a worker that continues with what was left
        assert other.counts().cooling == cooling
        ledger = Ledger(path)
        assert not ledger.configure(limit, window, LONGEST).damage
        counts = whole(ledger, limit)
        assert counts.cooling == cooling
        assert counts.free == limit - cooling
        assert ((counts.next_free or 0) - now_ns()) / 1e9 > window - 10


def test_killed_while_damage_is_mended(tmp_path: Path) -> None:
    """After a kill at any line of mending, the next start finds damage or the mended ledger.

    It never finds a fresh one.
    """

    def damaged(path: Path) -> None:
        used(path)
        poke_slot(path, 1, Slot.STATE, 9)

    for path in lines(tmp_path, damaged, fresh, 2):
        ledger = fresh(path)
        assert ledger.counts().cooling == 4


def test_killed_while_the_first_one_is_made(tmp_path: Path) -> None:
    """After a kill at any line of making the first ledger, the next start has one.

    Its limit is whole now or after a window.
    """
    for path in lines(tmp_path, lambda path: None, fresh, 2):
        counts = whole(fresh(path), 4)
        assert counts.free in (0, 4)


def test_killed_after_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any line of the first start after a boot, the second one knows of every call."""

    def before(path: Path) -> None:
        used(path)
        poke(path, BOOT=5)

    for path in lines(tmp_path, before, fresh, 2):
        assert fresh(path).counts().cooling >= 2


@pytest.mark.parametrize("answered", [True, False])
def test_killed_in_a_call(tmp_path: Path, answered: bool) -> None:
    """After a kill at any line of an operation, every slot is free or accounted for.

    The operations are reserve, claim, settle and the release of cooled slots.
    """

    def work(path: Path) -> None:
        ledger = Ledger(path)
        tickets = ledger.reserve(2, current_process()) or ()
        ledger.claim(tickets, current_process())
        ledger.settle(tickets, answered=answered)
        ledger.release_cooled()

    for path in lines(tmp_path, used, work, 3):
        assert free_to_lock(path)
        counts = whole(Ledger(path), 4)
        assert 2 <= counts.cooling <= 4
