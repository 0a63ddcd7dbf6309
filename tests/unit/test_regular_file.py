"""Files that anybody may have replaced are opened without waiting, and only when they are files."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from support.forks import child, end
from support.plants import PLANTS
from warren.system.regular_file import (
    NotRegular,
    TooLarge,
    make_directory,
    open_regular,
    read_regular,
)


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    """What is read is what was written, with the file's status."""
    (tmp_path / "x").write_bytes(b"words")
    said, status = read_regular(tmp_path / "x")
    assert said == b"words"
    assert status.st_size == 5


@pytest.mark.parametrize("word", PLANTS)
def test_anything_else_is_named(tmp_path: Path, word: str) -> None:
    """Nobody waits for it, and the error says what it is and where."""
    path = tmp_path / "x"
    PLANTS[word](path)
    with pytest.raises(OSError, match=word) as found:
        read_regular(path)
    assert found.value.filename == str(path)
    assert isinstance(found.value, TooLarge if word == "larger than" else NotRegular)


def test_a_dangling_link_is_no_missing_file(tmp_path: Path) -> None:
    """A link is refused for what it is, wherever it leads."""
    (tmp_path / "x").symlink_to(tmp_path / "nothing")
    with pytest.raises(NotRegular):
        open_regular(tmp_path / "x")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """Readers tell a file that is not there from one that is wrong."""
    with pytest.raises(FileNotFoundError) as found:
        read_regular(tmp_path / "x")
    assert found.value.filename == str(tmp_path / "x")


def test_a_limit_is_a_limit(tmp_path: Path) -> None:
    """A file as large as the limit is read, one byte more is not."""
    (tmp_path / "x").write_bytes(b"1234")
    assert read_regular(tmp_path / "x", 4)[0] == b"1234"
    with pytest.raises(TooLarge, match="larger than 3 bytes"):
        read_regular(tmp_path / "x", 3)


def test_a_lease_holds_nobody_up(tmp_path: Path) -> None:
    """The owner of a file may have the kernel ask him before each opening.

    A reader that waited would stand for 45 s.
    """
    path = tmp_path / "x"
    path.write_bytes(b"words")
    (held, hold), (over, release) = os.pipe(), os.pipe()

    def lease() -> None:
        file = os.open(path, os.O_RDWR)
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # which nobody minds, unlike SIGIO
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.write(hold, b".")
        os.read(over, 1)

    other = child(lease)
    os.read(held, 1)
    with pytest.raises(BlockingIOError):
        read_regular(path)
    os.write(release, b".")
    assert end(other) == 0


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """A reader that looks each second for years does not run out of them."""
    (tmp_path / "x").write_bytes(b"words")
    os.mkfifo(tmp_path / "fifo")
    before = os.listdir("/proc/self/fd")
    read_regular(tmp_path / "x")
    for path in (tmp_path / "fifo", tmp_path / "nothing"):
        with pytest.raises(OSError, match=r"fifo|No such"):
            read_regular(path)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("word", PLANTS)
def test_a_directory_of_the_suites_own_is_made(tmp_path: Path, word: str) -> None:
    """A file in its place is renamed, and what holds nothing is removed.

    Nothing above it, nor behind a link, is touched.
    """
    path = tmp_path / "state" / "broker"
    path.parent.mkdir()
    PLANTS[word](path)
    for _ in range(2):
        make_directory(path)
        make_directory(str(path))
    assert path.is_dir()
    assert not path.is_symlink()
    assert len(list(path.parent.glob("broker.moved-away-*"))) == (word == "larger than")
    assert path.with_name("broker.target").exists() == (word == "symbolic link")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_directory(tmp_path / "file" / "below" / "it")
    with pytest.raises(OSError, match="file"):
        make_directory(tmp_path / "file" / "below")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "state"]


def test_a_link_to_a_directory_is_one_and_a_link_to_nothing_stays(tmp_path: Path) -> None:
    """A link may lead to a disk that is not mounted.

    A directory in its place would hide what is there.
    """
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    make_directory(tmp_path / "link")
    (tmp_path / "disk").rmdir()
    with pytest.raises(NotADirectoryError, match="leads to nothing"):
        make_directory(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()


def test_a_disk_that_is_mounted_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link to it stays, though it led to nothing a moment ago."""
    link, disk = tmp_path / "link", tmp_path / "disk"
    link.symlink_to("disk")
    make = os.makedirs

    def late(*given: Any, **options: Any) -> None:
        try:
            make(*given, **options)
        finally:
            if not disk.exists():
                disk.mkdir()

    monkeypatch.setattr(os, "makedirs", late)
    make_directory(link)
    assert link.is_symlink()
    assert link.is_dir()


def test_a_file_in_the_place_of_a_directory_goes_where_it_is_told(tmp_path: Path) -> None:
    """Out of a directory whose names mean something."""
    (tmp_path / "queue").touch()
    make_directory(tmp_path / "queue", to=f"{tmp_path}/kept")
    assert [
        path.name.partition(".moved-away-")[0] for path in tmp_path.iterdir() if path.is_file()
    ] == ["kept"]
