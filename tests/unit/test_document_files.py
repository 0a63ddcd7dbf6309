"""Names that lead nowhere else, and files that are whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.demo.document_files import finished, inside, write_whole

BAD_NAMES = [
    "../escaped",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a/../../escaped",
    "directory/file",
    "nul\0byte",
    "line\nend",
    "\ud800",
    ".hidden",
    "n" * 256,
    "é" * 128,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=[ascii(name)[:20] for name in BAD_NAMES])
def test_a_name_that_is_not_a_plain_one_is_refused(name: str) -> None:
    """No name that leads elsewhere, hides, or cannot be written gets a path."""
    with pytest.raises(ValueError, match="filename: expected"):
        inside(Path("/directory"), name)


@given(st.text(max_size=300))
def test_no_name_leaves_the_directory(name: str) -> None:
    """Whatever the name, the path is directly in the directory or there is none."""
    try:
        path = inside(Path("/directory"), name)
    except ValueError:
        return
    assert path.resolve().parent == Path("/directory")


@pytest.mark.parametrize("name", ["a", "Zürich 2024.pdf", "a..b", "x" * 255, "a\\b", "~", "-rf"])
def test_plain_names_are_taken_as_they_are(name: str) -> None:
    """What people call files is accepted unchanged."""
    assert inside(Path("/directory"), name) == Path("/directory") / name


def test_a_link_in_the_directory_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A link under the name that is written leads no byte out of the directory."""
    outside = tmp_path / "outside"
    outside.write_text("untouched", encoding="utf-8")
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "name").symlink_to(outside)
    write_whole(inside(directory, "name"), [b"new"])
    assert outside.read_text(encoding="utf-8") == "untouched"
    assert not (directory / "name").is_symlink()
    assert (directory / "name").read_bytes() == b"new"


def test_a_file_that_could_not_be_finished_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    """When the source breaks off, the file is as before.

    Nothing else is left in the directory.
    """

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError

    path = tmp_path / "file"
    write_whole(path, [b"old"])
    with pytest.raises(ConnectionError):
        write_whole(path, broken())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_under_the_name_is_not_replaced(tmp_path: Path) -> None:
    """Writing a file where a directory stands fails and leaves nothing behind."""
    (tmp_path / "name").mkdir()
    with pytest.raises(OSError, match="name"):
        write_whole(tmp_path / "name", [b"new"])
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_only_whole_files_are_listed(tmp_path: Path) -> None:
    """Links, directories and unfinished files are not listed; a missing directory has no files."""
    write_whole(tmp_path / "b", [b"1"])
    write_whole(tmp_path / "a", [b"1"])
    (tmp_path / ".part-x").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert [path.name for path in finished(tmp_path)] == ["a", "b"]
    assert list(finished(tmp_path / "nowhere")) == []
