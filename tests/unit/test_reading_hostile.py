"""Plants in a log directory: the logs are read in bounded room, and each plant is named."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from support.forks import child, end
from support.plants import PLANTS
from warren.errors import WarrenError
from warren.logs.reading import log_file as file_module
from warren.logs.reading import merge as order_module
from warren.logs.reading.log_file import LOST, RATIO
from warren.logs.reading.merge import Timed, back_in_order, in_order
from warren.logs.reading.query import Reader
from warren.logs.reading.seek import LONGEST
from warren.logs.reading.selection import Selection
from warren.system.regular_file import open_regular

Read = Callable[[Reader], list[Timed]]

#: Every way in which lines are asked for.
WAYS: dict[str, Read] = {
    "all": lambda reader: list(reader.there()),
    "last": lambda reader: reader.last(1000),
    "more": lambda reader: [*reader.there(), *reader.more()],
}
ASKED = {
    "everything": Selection(),
    "since": Selection(since=b"2026-11-21T10:00:00.000000Z"),
    "until": Selection(until=b"2026-11-21T11:00:00.000000Z"),
}


def text(number: int, pad: int = 0) -> bytes:
    """A line of a log, with so many characters more."""
    stamp = f"2026-11-21T10:00:{number:02}.000000Z"
    return (
        json.dumps(
            {"timestamp": stamp, "n": number, "pad": "x" * pad}, separators=(",", ":")
        ).encode()
        + b"\n"
    )


def numbers(lines: list[Timed]) -> list[int]:
    return [json.loads(raw)["n"] for _, raw in lines]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.EWOULDBLOCK, errno.EIO])
def test_a_file_that_cannot_be_opened_is_left_out_and_told(
    tmp_path: Path, way: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that a task has closed to all hides no line of another.

    Where none can be opened, that is the answer.
    """
    for name, number in (("a.log", 1), ("worker.log", 2), ("z.log", 3)):
        (tmp_path / name).write_bytes(text(number))
    closed = {tmp_path / "a.log", tmp_path / "z.log"}

    def opened(path: Path) -> int:
        if path in closed:
            raise OSError(code, os.strerror(code), str(path))
        return open_regular(path)

    monkeypatch.setattr(file_module, "open_regular", opened)
    reader = Reader([tmp_path], Selection())
    assert numbers(WAYS[way](reader)) == [2]
    why = f"left out, because it cannot be opened: {os.strerror(code)}"
    assert sorted(reader.errors_found()) == [f"{tmp_path}/a.log: {why}", f"{tmp_path}/z.log: {why}"]
    closed.add(tmp_path / "worker.log")
    with pytest.raises(WarrenError, match="the logs cannot be read"):
        Reader([tmp_path], Selection())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["x.log", "x.log.1", "x.log.2.gz"])
@pytest.mark.parametrize("word", [word for word in PLANTS if word != "larger than"])
def test_what_is_no_file_is_left_out_and_told(
    tmp_path: Path, word: str, name: str, way: str
) -> None:
    """A fifo, link, directory, socket or device with the name of a log hides no line.

    It is named.
    """
    (tmp_path / "worker.log").write_bytes(text(1))
    PLANTS[word](tmp_path / name)
    for left in tmp_path.glob("*.target"):  # the link's own, which has a name of a log
        left.unlink()
    reader = Reader([tmp_path], Selection())
    assert numbers(WAYS[way](reader)) == [1]
    (last_error,) = reader.errors_found()
    assert last_error.startswith(f"{tmp_path / name}: left out, because it is a ")
    assert word in last_error


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["worker.log", "worker.log.2.gz"])
@pytest.mark.parametrize("length", [LONGEST + 1, 3 * LONGEST])
def test_a_line_that_is_too_long_is_left_out_and_told(
    tmp_path: Path, name: str, way: str, asked: str, length: int
) -> None:
    """It costs no line before or behind it."""
    content = text(1) + text(2, length) + text(3) + b"x" * length + b"\n" + text(4)
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    reader = Reader([tmp_path], ASKED[asked])
    assert numbers(WAYS[way](reader)) == [1, 3, 4]
    assert reader.errors_found() == [
        f"{tmp_path / name}: 2 lines of the file are longer than {LONGEST} bytes; left out"
    ]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["worker.log", "worker.log.2.gz"])
@pytest.mark.parametrize(
    "time",
    [
        "XXXXXXXXXXXXXXXXXXXXXXXXXXZ",
        "2026-11-21T10:00:60.000000Z",
        "0000-00-00T00:00:00.000000Z",
        "2026-11-21T10:00:0\u00e9.00000Z",
        "2026-11-21T10:00:00.00000xZ",
        "2026-11-21T10:00:00,000000Z",
        "2026-W47-6T10:00:00.000000Z",
        "20261121T10:00:00.000000000Z",
    ],
)
def test_a_line_whose_time_is_none_hides_no_other(
    tmp_path: Path, name: str, way: str, asked: str, time: str
) -> None:
    """Text of the length of a time, in the place of the time, hides no line.

    The line is left out and counted, or shown in its place.
    """
    wrong = f'{{"timestamp":"{time}","n":0}}\n'.encode()
    content = wrong + text(1) + wrong + text(2) + wrong
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    reader = Reader([tmp_path], ASKED[asked])
    assert [number for number in numbers(WAYS[way](reader)) if number] == [1, 2]
    if reader.found == 2:
        assert reader.errors_found() == [
            f"{tmp_path / name}: expected one JSON object a line, found 3 other lines; left out"
        ]


@pytest.mark.parametrize("asked", [Selection(task="\udcff" * 8), Selection(daemon="\udcff")])
def test_bytes_that_are_no_text_are_asked_for(tmp_path: Path, asked: Selection) -> None:
    """A command line may hold bytes that are no UTF-8: no line is theirs."""
    (tmp_path / "worker.log").write_bytes(text(1))
    assert list(Reader([tmp_path], asked).there()) == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["worker.log", "worker.log.2.gz"])
def test_a_long_line_is_a_line(tmp_path: Path, name: str, way: str) -> None:
    """One that is as long as a line may be is shown."""
    longest = text(2, LONGEST - len(text(2)))
    content = text(1) + longest + text(3)
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    reader = Reader([tmp_path], Selection())
    assert numbers(WAYS[way](reader)) == [1, 2, 3]
    assert reader.errors_found() == []


def bounded(work: Callable[[], None]) -> None:
    """Does it in a process with 512 MB of memory beyond its present."""

    def limited() -> None:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (512 << 20), -1))
        work()

    assert end(child(limited)) == 0


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_without_an_end_is_given_up(tmp_path: Path, way: str, asked: str) -> None:
    """A terabyte of nothing, which takes no room on disk, costs little time and memory.

    The lines before it are shown.
    """
    with open(tmp_path / "worker.log", "wb") as log:
        log.write(text(1) + text(2))
        log.truncate(1 << 40)
    (tmp_path / "beat.log").write_bytes(text(3))

    def read() -> None:
        reader = Reader([tmp_path], ASKED[asked])
        assert numbers(WAYS[way](reader)) == ([3] if way == "last" else [1, 2, 3])
        (last_error,) = reader.errors_found()
        assert last_error.startswith(f"{tmp_path}/worker.log: ")
        assert "has no end" in last_error

    bounded(read)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [LONGEST + 1, LOST + 1])
def test_a_last_line_without_an_end_is_told(tmp_path: Path, way: str, length: int) -> None:
    """Half a line that is longer than a line may be is no reason to say nothing."""
    (tmp_path / "worker.log").write_bytes(text(1) + b"x" * length)
    reader = Reader([tmp_path], Selection())
    assert numbers(WAYS[way](reader)) == ([] if way == "last" and length > LOST else [1])
    assert ["has no end" in last_error for last_error in reader.errors_found()] == [True]


@pytest.mark.parametrize("byte", [b"\0", b"x", b"\n"])
@pytest.mark.parametrize("size", [1 << 21, 1 << 26])
def test_what_unpacks_to_far_more_is_left_out(
    tmp_path: Path, byte: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compressed file is unpacked to a bounded multiple of its size, in linear time.

    This holds whether it has lines or not.
    """
    monkeypatch.setattr(file_module, "UNPACKED", 1 << 22)
    with gzip.open(tmp_path / "worker.log.2.gz", "wb") as packed:
        packed.write(text(1))
        for _ in range(size >> 20):
            packed.write(byte * (1 << 20))
    (tmp_path / "worker.log").write_bytes(text(2))

    def read() -> None:
        reader = Reader([tmp_path], Selection())
        assert numbers(list(reader.there())) == [1, 2]
        told = " ".join(reader.errors_found())
        assert (f"more than {RATIO} times its size" in told) == (size == 1 << 26)
        assert told or byte == b"\n"

    bounded(read)


def _named(size: int) -> bytes:
    """The head of an archive with a name of that length."""
    return b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * size


@pytest.mark.parametrize(
    "planted",
    [
        _named(1 << 26),
        gzip.compress(b"") * (1 << 20),
        gzip.compress(b"\n") * (1 << 20),
        gzip.compress(text(3)) + bytes(1 << 26),
    ],
    ids=["a name without an end", "empty streams", "streams of a byte", "zeros"],
)
def test_an_archive_that_is_none_is_given_up(tmp_path: Path, planted: bytes) -> None:
    """Its name, and what holds nothing, are not read for ever."""
    (tmp_path / "worker.log.2.gz").write_bytes(planted)
    (tmp_path / "worker.log").write_bytes(text(2))

    def read() -> None:
        reader = Reader([tmp_path], Selection())
        assert numbers(list(reader.there()))[0] == 2
        (told,) = reader.errors_found()
        assert "it is no archive of a log" in told

    bounded(read)


def test_streams_that_were_joined_are_one_log(tmp_path: Path) -> None:
    """As of `cat a.gz b.gz`, with the zeros that some archivers leave."""
    packed = (
        gzip.compress(text(1))
        + bytes(512)
        + gzip.compress(text(2) + text(3)[:20])
        + gzip.compress(text(3)[20:])
        + bytes(512)
    )
    (tmp_path / "worker.log.2.gz").write_bytes(packed)
    reader = Reader([tmp_path], Selection())
    assert numbers(list(reader.there())) == [1, 2, 3]
    assert reader.errors_found() == []


def test_a_log_that_says_the_same_again_and_again_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of a daemon that fails each second compresses well, and is no bomb."""
    monkeypatch.setattr(file_module, "UNPACKED", 0)
    lines = [
        text(n % 60, 0)[:-2] + f',"exception":"{os.urandom(1500).hex()}"}}\n'.encode()
        for n in range(60)
    ]
    (tmp_path / "worker.log.2.gz").write_bytes(gzip.compress(lines[0] * 1000))
    reader = Reader([tmp_path], Selection())
    assert len(list(reader.there())) == 1000
    assert reader.errors_found() == []


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"timestamp":"2026-11-21T10:00:01.000000Z","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"timestamp":"2026-11-21T10:00:01.000000Z","x":' + b"9" * 10_000 + b"}",
        b'{"timestamp":"0001-01-01T00:00:00+14:00"}',
        b'{"timestamp":"9999-12-31T23:59:59-14:00"}',
        b'{"timestamp":{"a":[]}}',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"\0" * 1000,
    ],
    ids=lambda wrong: str(wrong[:40]),
)
@pytest.mark.parametrize("way", WAYS)
def test_a_line_that_nobody_can_read_is_counted(tmp_path: Path, wrong: bytes, way: str) -> None:
    """Also where only a reader that looks into it finds out: it costs no other line."""
    (tmp_path / "worker.log").write_bytes(text(1) + wrong + b"\n" + text(2))
    reader = Reader([tmp_path], Selection(level="info"))
    WAYS[way](reader)
    assert (
        reader.errors_found() == []
        or "expected one JSON object a line, found 1" in reader.errors_found()[0]
    )
    reader = Reader([tmp_path], Selection())
    assert {1, 2} <= {json.loads(raw)["n"] for _, raw in WAYS[way](reader) if b'"n"' in raw}


def test_one_second_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of one second are held back up to a limit, and none is lost beyond it."""
    monkeypatch.setattr(order_module, "HELD", 1000)
    lines = [(b"2026-11-21T10:00:01.000000Z", b"%d\n" % number) for number in range(5000)]
    assert sorted(in_order(lines)) == sorted(lines)
    assert sorted(back_in_order(lines)) == sorted(lines)
