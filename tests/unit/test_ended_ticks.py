"""The table of ticks that have ended on this host."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.plants import PLANTS
from warren.worker.duplicate_ticks import Ended


@given(identities=st.lists(st.text(), max_size=50))
def test_it_knows_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, identities: list[str]
) -> None:
    """Another worker finds each, whatever it is called, and no other one."""
    path = tmp_path_factory.mktemp("ended") / "worker" / "ticks"
    for identity in identities:
        Ended(path).add(identity)
        Ended(path).add(identity)
    other = Ended(path)
    assert all(identity in other for identity in identities)
    assert "another one" not in other


def test_it_stays_small(tmp_path: Path) -> None:
    """The oldest are forgotten; of the newest none is."""
    ended = Ended(tmp_path / "ticks")
    for number in range(120_000):
        ended.add(str(number))
    assert (tmp_path / "ticks").stat().st_size <= 1 << 20
    assert all(str(number) in ended for number in range(110_000, 120_000))
    assert "0" not in ended


def test_a_table_that_was_removed(tmp_path: Path) -> None:
    """It begins again; and what was written over is as nothing."""
    ended = Ended(tmp_path / "ticks")
    ended.add("a")
    (tmp_path / "ticks").unlink()
    assert "a" not in ended
    ended.add("b")
    assert "b" in Ended(tmp_path / "ticks")
    (tmp_path / "ticks").write_bytes(b"\xff" * 5000)
    assert "b" not in ended
    ended.add("b")
    assert "b" in ended


@pytest.mark.parametrize("word", PLANTS)
def test_what_stands_in_its_place(tmp_path: Path, word: str) -> None:
    """Whatever a task has put there, nothing waits and nothing is raised."""
    PLANTS[word](tmp_path / "ticks")
    ended = Ended(tmp_path / "ticks")
    ended.add("a")
    assert "b" not in ended
