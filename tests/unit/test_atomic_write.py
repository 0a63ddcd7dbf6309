"""Files that are replaced whole."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

import pytest

from support.forks import child, end, killed_at
from support.plants import PLANTS
from warren.system import atomic_write
from warren.system.atomic_write import replace_file


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("name", ["x.json", "x.json.new"])
@pytest.mark.parametrize("word", PLANTS)
def test_whatever_stands_there_is_replaced(
    tmp_path: Path, word: str, name: str, durable: bool
) -> None:
    """The path is a regular file afterwards.

    No link was followed, no fifo waited for, and nothing stays beside it.
    """
    path = tmp_path / "x.json"
    PLANTS[word](tmp_path / name)
    replace_file(path, "text\n", durable=durable)
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.read_text() == "text\n"
    assert not os.path.lexists(tmp_path / "x.json.new")
    for target in tmp_path.glob("*.target"):
        assert target.read_bytes() == b""


@pytest.mark.parametrize(
    ("mode", "umask", "expected"),
    [(0o666, 0o077, 0o600), (0o666, 0o022, 0o644), (0o600, 0o022, 0o600)],
)
def test_the_mode_is_as_asked(tmp_path: Path, mode: int, umask: int, expected: int) -> None:
    """The umask of the process takes its part."""
    former = os.umask(umask)
    try:
        replace_file(tmp_path / "x", "", mode=mode)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == expected


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """What was written of the new one may be the room that others need."""
    path = tmp_path / "x"
    replace_file(path, "old")

    def in_vain() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(OSError, match="too large"):
            replace_file(path, "new" * 10)

    assert end(child(in_vain)) == 0
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("x", "old")]


def test_killed_anywhere_it_is_the_old_text_or_the_new(tmp_path: Path) -> None:
    """A reader never finds a part, and the next writer is not held up by what was left."""
    path, line, killed, seen = tmp_path / "x", 0, True, set()
    while killed:
        replace_file(path, "old")
        killed = killed_at(
            line, lambda: replace_file(path, "new", durable=True), atomic_write.__file__
        )
        seen.add(path.read_text())
        line += 1
    assert line > 10
    assert seen == {"old", "new"}


def test_durable_means_the_text_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power cannot leave a name without its text, nor bring the old file back."""
    done: list[str] = []
    sync, rename = os.fsync, os.replace

    def fsync(file: int) -> None:
        done.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{file}")))
        sync(file)

    def replace(fresh: Path, path: Path) -> None:
        done.append("rename")
        rename(fresh, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    replace_file(tmp_path / "x", "text", durable=True)
    replace_file(tmp_path / "x", "text")
    assert done == ["sync x.new", "rename", f"sync {tmp_path.name}", "rename"]
