"""The files of a log directory: rotated, compressed, growing, damaged."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import pytest

from warren.errors import WarrenError
from warren.logs.reading.merge import Timed
from warren.logs.reading.query import Reader
from warren.logs.reading.selection import Selection

Put = Callable[..., Path]


def text(number: int, **fields: object) -> str:
    """The line of a worker, made `number` seconds after the hour."""
    stamp = f"2026-11-21T10:{number // 60:02}:{number % 60:02}.000000Z"
    line = {
        "timestamp": stamp,
        "level": "info",
        "event": "record",
        "daemon": "worker",
        "program": "worker-a",
    }
    return json.dumps(line | {"n": number} | fields, separators=(",", ":")) + "\n"


def numbers(lines: Iterable[Timed]) -> list[int]:
    return [json.loads(raw)["n"] for _, raw in lines]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file of the log directory, with lines of these numbers or with this text."""

    def write(name: str, *content: int | str) -> Path:
        path = tmp_path / name
        joined = "".join(text(each) if isinstance(each, int) else each for each in content).encode()
        path.write_bytes(gzip.compress(joined) if name.endswith(".gz") else joined)
        return path

    return write


def test_rotated_and_compressed_files_are_one_log(put: Put, tmp_path: Path) -> None:
    """Every file of every daemon is in the stream, by time.

    Nothing else of the directory is.
    """
    put("worker.log.2.gz", 1, 4)
    put("worker.log.1", 5, 8)
    put("worker.log", 9)
    put("beat.log", 2, 6, 10)
    put("supervisord.log-20261120.gz", 0)
    put("worker-a.out", "a print\n")
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.there()) == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert reader.errors_found() == []


def test_a_file_that_is_being_compressed_counts_once(put: Put, tmp_path: Path) -> None:
    """While gzip is at work both files are there: the whole one is read."""
    put("worker.log.1", 1, 2)
    (tmp_path / "worker.log.1.gz").write_bytes(gzip.compress(text(1).encode())[:20])
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.there()) == [1, 2]
    assert reader.errors_found() == []


def test_a_rotation_while_it_reads_takes_nothing_away(put: Put, tmp_path: Path) -> None:
    """What was there when the reading began is read.

    This holds even when it was renamed, compressed and removed meanwhile.
    """
    put("worker.log.1", 1)
    put("worker.log", 2)
    reader = Reader([tmp_path], Selection())
    put("worker.log.2.gz", 1)
    (tmp_path / "worker.log").rename(tmp_path / "worker.log.1")
    put("worker.log", 3)
    assert numbers(reader.there()) == [1, 2]


def test_what_is_no_line_is_counted_and_left_out(put: Put, tmp_path: Path) -> None:
    """Half a line and a foreign print cost no other line, and the file is named.

    Blank lines are passed over.
    """
    put(
        "worker.log",
        1,
        '{"timestamp":"2026-11-21T1\n',
        2,
        "a print\n",
        "      \n",
        '["a list"]\n',
        3,
        text(4)[:-5],
    )
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.there()) == [1, 2, 3]
    assert reader.errors_found() == [
        f"{tmp_path}/worker.log: expected one JSON object a line, found 3 other lines; left out"
    ]


def test_a_damaged_archive_gives_what_it_has(put: Put, tmp_path: Path) -> None:
    """Of a compressed file that was cut off the beginning is shown.

    The end is reported as missing.
    """
    path = put("worker.log.2.gz", *range(1000))
    path.write_bytes(path.read_bytes()[:-100])
    put("worker.log", 1000)
    reader = Reader([tmp_path], Selection())
    found = numbers(reader.there())
    assert found[0] == 0
    assert found[-1] == 1000
    assert [last_error.split(":")[0] for last_error in reader.errors_found()] == [str(path)]


def test_lines_of_other_writers_are_understood(put: Put, tmp_path: Path) -> None:
    """A line with its fields in another order, or a time in another zone, has its place."""
    put("worker.log", 1, 5)
    put("other.log", '{"n": 3, "timestamp": "2026-11-21T12:00:03+02:00"}\n')
    assert numbers(Reader([tmp_path], Selection()).there()) == [1, 3, 5]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Selection(task="11111111-aaaa"), [1, 2]),
        (Selection(task="22222222"), [2]),
        (Selection(daemon="beat"), [3]),
        (Selection(daemon="worker-b"), [4]),
        (Selection(level="warning"), [3, 4]),
        (Selection(level="error"), [4]),
        (Selection(since=b"2026-11-21T10:00:03.000000Z"), [3, 4, 5]),
        (Selection(until=b"2026-11-21T10:00:03.000000Z"), [1, 2, 3]),
        (Selection(task="11111111", level="error"), []),
    ],
)
def test_a_selection(put: Put, tmp_path: Path, asked: Selection, found: list[int]) -> None:
    """Exactly the lines come that have what was asked for, in the right field."""
    put(
        "worker.log",
        text(1, task_id="11111111-aaaa", root_id="11111111-aaaa"),
        text(2, task_id="22222222-aaaa", root_id="11111111-aaaa"),
        text(4, level="error", program="worker-b"),
        text(
            5,
            message='mentions "11111111-aaaa", "level":"error" and "daemon":"beat"',
            other="11111111-aaaa",
            level="info",
        ),
    )
    put("beat.log", text(3, level="warning", daemon="beat", program="beat"))
    assert numbers(Reader([tmp_path], asked).there()) == found


def test_old_files_are_not_opened(put: Put, tmp_path: Path) -> None:
    """With a time to begin at, a file that was last written to before it is not read at all."""
    put("worker.log.2.gz", 1).write_bytes(b"would be a trouble")
    put("worker.log", 2)
    os.utime(tmp_path / "worker.log.2.gz", (1000, 1000))
    reader = Reader([tmp_path], Selection(), since=2000)
    assert numbers(reader.there()) == [2]
    assert reader.errors_found() == []


def test_following_over_rotations_loses_nothing(put: Put, tmp_path: Path) -> None:
    """New lines come once each, while files vanish.

    This includes late lines in the renamed file and lines of new files.
    """
    log = put("worker.log", 1)
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.there()) == [1]
    assert numbers(reader.more()) == []
    with log.open("a", encoding="utf-8") as held:
        held.write(text(2))
        held.flush()
        log.rename(tmp_path / "worker.log.1")
        put("worker.log", 4)
        held.write(text(3))
        held.flush()
        assert numbers(reader.more()) == [2, 3, 4]
        held.write(text(5))
    (tmp_path / "worker.log.1").unlink()
    put("worker.log.2.gz", 1, 2, 3, 5)
    put("beat.log", 6)
    assert numbers(reader.more()) == [5, 6]
    assert numbers(reader.more()) == []


def test_a_rename_during_the_listing_shows_no_line_twice(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that a look has missed is not new afterwards.

    It had its old name before the look and its new name after it.
    """
    put("worker.log", 1)
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.there()) == [1]
    with monkeypatch.context() as listing:
        listing.setattr("os.scandir", lambda directory: nullcontext([]))
        assert numbers(reader.more()) == []
    with (tmp_path / "worker.log").open("a", encoding="utf-8") as log:
        log.write(text(2))
    assert numbers(reader.more()) == [2]


def test_half_a_line_waits_for_its_end(put: Put, tmp_path: Path) -> None:
    """A line whose end is not written yet comes when it is whole.

    A line that became blank never comes.
    """
    log = put("worker.log", 1, text(2)[:20])
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.there()) == [1]
    put("worker.log", 1, 2, text(3)[:20])
    assert numbers(reader.more()) == [2]
    put("worker.log", 1, 2, " " * 19 + "\n", 4)
    assert numbers(reader.more()) == [4]
    assert log.exists()
    assert reader.errors_found() == []


def test_a_missing_directory(tmp_path: Path) -> None:
    """The directory, what was found, and what to do."""
    with pytest.raises(
        WarrenError, match=r"nowhere: the logs cannot be read: No such file.*log_dir"
    ):
        Reader([tmp_path / "nowhere"], Selection())
