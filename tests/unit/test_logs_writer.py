"""The file behind a log: rotated, removed, full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.plants import PLANTS
from warren.logs.writer import LineFile
from warren.system.obstacles import MovedAway


def kept(found: MovedAway) -> bytes:
    return f"renamed to {found.kept_as}\n".encode()


def told(lost: int, error: str) -> bytes:
    return f"lost {lost}: {error}\n".encode()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LineFile]:
    lines = LineFile(tmp_path / "a.log", told)
    yield lines
    lines.close()


def test_a_new_file_has_the_mode_of_a_log(file: LineFile, tmp_path: Path) -> None:
    """A log is readable by its group and nobody else, whatever the umask."""
    old = os.umask(0o077)
    try:
        file.path.rename(tmp_path / "a.log.1")
        file.write(b"x\n")
    finally:
        os.umask(old)
    assert file.path.stat().st_mode & 0o777 == 0o640


def test_the_mode_of_an_older_file_stays(tmp_path: Path) -> None:
    """A mode that an operator or logrotate gave to the file is left alone."""
    path = tmp_path / "a.log"
    path.touch()
    path.chmod(0o604)
    LineFile(path, told).close()
    assert path.stat().st_mode & 0o777 == 0o604


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_a_rotated_file_is_opened_again(file: LineFile, tmp_path: Path, how: str) -> None:
    """After a rotation the next line is in the new file, without anybody being told."""
    file.write(b"old\n")
    if how == "renamed":
        file.path.rename(tmp_path / "a.log.1")
    else:
        file.path.unlink()
    file.write(b"new\n")
    assert file.path.read_bytes() == b"new\n"


def test_a_line_goes_to_the_renamed_file_when_no_new_one_can_be_made(
    file: LineFile, tmp_path: Path
) -> None:
    """A log directory that was moved away still gets the lines: they are not lost."""
    (tmp_path / "moved").mkdir()
    file.path.rename(tmp_path / "moved" / "a.log")
    file.path.symlink_to(tmp_path / "nowhere" / "a.log")
    file.write(b"line\n")
    assert (tmp_path / "moved" / "a.log").read_bytes() == b"line\n"
    assert file.lost == 0


def test_lost_lines_are_counted_and_told(
    file: LineFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk is reported once on stderr, and in the log once it works again.

    The log has the number of lost lines.
    """
    file.path.unlink()
    file.path.symlink_to("/dev/full")
    for _ in range(3):
        file.write(b"gone\n")
    assert file.lost == 3
    file.path.unlink()
    file.write(b"first\n")
    file.write(b"second\n")
    assert file.path.read_bytes() == b"lost 3: No space left on device\nfirst\nsecond\n"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(file.path) in said
    assert "No space left on device" in said


@pytest.mark.parametrize("looks_like", ["missing directory", "a file for a directory"])
def test_what_stands_in_the_way_never_raises(tmp_path: Path, looks_like: str) -> None:
    """Whatever happens to the log's path while a daemon runs, a write does not raise."""
    directory = tmp_path / "log"
    directory.mkdir()
    file = LineFile(directory / "a.log", told)
    file.path.unlink()
    directory.rmdir()
    if looks_like == "a file for a directory":
        directory.touch()
    file.write(b"gone\n")
    assert file.lost == 1
    file.close()


@pytest.mark.parametrize("word", ["fifo", "directory", "socket"])
@pytest.mark.parametrize("at", ["the start", "a line"])
def test_what_is_no_file_makes_way(tmp_path: Path, word: str, at: str) -> None:
    """A pipe that nobody reads takes lines until it is full, and then holds up the daemon.

    A directory is renamed, and the first line of the new file names it.
    """
    path = tmp_path / "a.log"
    if at == "a line":
        file = LineFile(path, told, kept)
        path.unlink()
    PLANTS[word](path)
    if at == "the start":
        file = LineFile(path, told, kept)
    for _ in range(20):
        file.write(b"x" * 8191 + b"\n")
    assert file.lost == 0
    file.close()
    renamed = [str(found) for found in tmp_path.glob("a.log.moved-away-*")]
    assert len(renamed) == (word == "directory")
    text = path.read_bytes()
    assert text.replace(b"x" * 8191 + b"\n", b"") == b"".join(
        f"renamed to {name}\n".encode() for name in renamed
    )
    assert text.count(b"\n") == 20 + len(renamed)


def test_a_link_to_a_full_pipe_holds_up_nobody(tmp_path: Path) -> None:
    """A link is the operator's, as to /dev/stdout of a container.

    When no process reads there, lines are counted as lost.
    """
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.log").symlink_to("pipe")
    file = LineFile(tmp_path / "a.log", told)
    for _ in range(20):
        file.write(b"x" * 8191 + b"\n")
    assert file.lost > 0
    file.close()


def test_a_torn_end_is_closed_before_the_first_line(tmp_path: Path) -> None:
    """Half a line that a power cut left behind spoils no other line."""
    path = tmp_path / "a.log"
    path.write_bytes(b"whole\nhal")
    file = LineFile(path, told)
    file.write(b"next\n")
    file.write(b"after\n")
    file.close()
    assert path.read_bytes() == b"whole\nhal\nnext\nafter\n"


def test_a_missing_directory_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A log that cannot be opened at all is said at once, not counted."""
    with pytest.raises(FileNotFoundError):
        LineFile(tmp_path / "nowhere" / "a.log", told)


def test_a_line_that_went_to_a_removed_file_is_written_again(
    file: LineFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was paused while its file was rotated and removed loses no line.

    The file was compressed as well.
    """
    write = os.write
    calls: list[bytes] = []

    def late(fd: int, data: bytes) -> int:
        if not calls:
            file.path.unlink()
        calls.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", late)
    file.write(b"late\n")
    monkeypatch.undo()
    assert file.path.read_bytes() == b"late\n"
    assert calls == [b"late\n"] * 2
