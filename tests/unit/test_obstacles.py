"""What stands in the place of a file or a directory of the suite makes way by one rule."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plants import PLANTS
from support.trees import deep, removed
from warren.status.heartbeat import HeartbeatWriter, read
from warren.supervise.programs import run_directory
from warren.supervise.programs.directories import write_programs
from warren.system.obstacles import MARK, clear
from warren.system.regular_file import clear_path


@pytest.mark.parametrize("word", PLANTS)
@pytest.mark.parametrize(
    ("wanted", "kept"), [(stat.S_ISREG, "directory"), (stat.S_ISDIR, "larger than")]
)
def test_what_may_hold_something_is_kept(
    tmp_path: Path, word: str, wanted: Callable[[int], bool], kept: str
) -> None:
    """A directory in the place of a file, or a file in that of a directory, is renamed.

    Anything else is removed, and what is wanted stays.
    """
    path = tmp_path / "x"
    PLANTS[word](path)
    before = path.lstat()
    found = clear(path, wanted)
    if wanted(before.st_mode):
        assert found is None
        assert path.lstat() == before
        return
    assert not os.path.lexists(path)
    assert (found is not None) == (word == kept)
    if found is not None:
        assert found.path == str(path)
        assert Path(found.kept_as).lstat().st_ino == before.st_ino
    for target in tmp_path.glob("*.target"):
        assert target.exists()  # nobody followed the link


def test_nothing_there_is_no_obstacle(tmp_path: Path) -> None:
    """Whoever makes way need not look first."""
    assert clear(tmp_path / "x") is None


def test_what_is_renamed_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says where it stood, and its name now."""
    (tmp_path / "x").mkdir()
    clear_path(tmp_path / "x")
    assert "a directory instead of a file" in caplog.text
    assert str(next(tmp_path.glob(f"x{MARK}*"))) in caplog.text


def test_the_run_directory_is_tidied_of_trees_without_an_end(tmp_path: Path) -> None:
    """A directory that no process could empty is renamed, once.

    supervisord's loop continues in its next step.
    """
    run = tmp_path / "run"
    for directory in (run, run / "heartbeats", run / "supervisor"):
        directory.mkdir(parents=True, exist_ok=True)
    with removed(run):
        places = [
            run / "beat.pid",
            run / "heartbeats" / "beat.json",
            run / "supervisor" / "beat.conf",
        ]
        for place in places:
            deep(place)
        assert sorted(run_directory._tidy(run)) == sorted(places)
        assert run_directory._tidy(run) == []
        deep(run / "supervisor" / "beat.conf")
        write_programs(run / "supervisor", {"beat.conf": "text"})
        assert (run / "supervisor" / "beat.conf").read_text() == "text"
        deep(run / "supervisor" / "gone.conf")
        write_programs(run / "supervisor", {"beat.conf": "text"})
        assert [path.name for path in (run / "supervisor").glob("*.conf")] == ["beat.conf"]


@pytest.mark.parametrize("word", [word for word in PLANTS if word != "directory"])
def test_a_heartbeat_makes_way_for_its_directory(tmp_path: Path, word: str) -> None:
    """The daemon beats; a file that stood there is kept."""
    PLANTS[word](tmp_path / "heartbeats")
    assert HeartbeatWriter(tmp_path, "beat").write("ready")
    assert "beat" in read(tmp_path, ["beat"]).by_program
    assert len(list(tmp_path.glob(f"heartbeats{MARK}*"))) == (word == "larger than")
