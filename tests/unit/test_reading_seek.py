"""A search in a large file finds what a full read would, without reading all of it."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.logs.reading import log_file as file_module
from warren.logs.reading import seek
from warren.logs.reading.line import moment
from warren.logs.reading.merge import DISORDER, Timed
from warren.logs.reading.query import Reader
from warren.logs.reading.selection import Selection

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
#: Seconds from one line to the next, and how much earlier than its write a line was made.
WRITTEN = st.lists(
    st.tuples(st.floats(0, 2) | st.floats(0, 300), st.floats(0, DISORDER)), max_size=60
)
NAMES = ("worker.log.2.gz", "worker.log.1", "worker.log")


def at(seconds: float) -> bytes:
    return moment(START + timedelta(seconds=seconds))


def text(number: int, seconds: float, **fields: object) -> str:
    """Return a line that was made so many seconds after the hour.

    Some are long, and some have rubbish before them.
    """
    pad = 3000 if number % 50 == 7 else number * 37 % 200
    line = {
        "timestamp": at(seconds).decode(),
        "level": "info",
        "event": "record",
        "n": number,
        "pad": "x" * pad,
    }
    rubbish = "a print\n\n" if number % 7 == 3 else ""
    return rubbish + json.dumps(line | fields, separators=(",", ":")) + "\n"


def numbers(lines: list[Timed]) -> list[int]:
    return [json.loads(raw)["n"] for _, raw in lines]


@pytest.fixture(autouse=True)
def small_steps() -> Iterator[None]:
    """Files of some kilobytes are large."""
    with patch.object(file_module, "BLOCK", 512), patch.object(seek, "NEAR", 1024):
        yield


@given(
    st.lists(WRITTEN, max_size=3),
    st.floats(0, 20_000),
    st.floats(0, 20_000),
    st.integers(0, 70),
    st.booleans(),
)
def test_the_last_are_the_end_of_all(
    written: list[list[tuple[float, float]]], since: float, until: float, n: int, half: bool
) -> None:
    """-n gives the end of what would be shown without it, however lines lie over files.

    This holds between two times as well, and a search passes over nothing that was asked for.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lines = []
        for file, each in zip(NAMES, written, strict=False):
            ends = accumulate(step for step, _ in each)
            times = [end - late for end, (_, late) in zip(ends, each, strict=True)]
            content = "".join(text(number, time) for number, time in enumerate(times)).encode()
            content += b'{"timestamp":"20' if half else b""
            (directory / file).write_bytes(
                gzip.compress(content) if file.endswith(".gz") else content
            )
            lines += [(at(time), number) for number, time in enumerate(times)]
        for asked in (
            Selection(),
            Selection(since=at(since)),
            Selection(until=at(until)),
            Selection(since=at(since), until=at(until)),
        ):
            there = list(Reader([directory], asked).there())
            expected = [
                line
                for line in lines
                if line[0] >= asked.since and (not asked.until or line[0] <= asked.until)
            ]
            assert sorted((time, json.loads(raw)["n"]) for time, raw in there) == sorted(expected)
            assert Reader([directory], asked).last(n) == there[len(there) - min(n, len(there)) :]


@given(st.lists(st.floats(-seek.SET_BACK / 8, 400), max_size=200), st.floats(-1000, 20_000))
def test_a_clock_that_was_set_back_hides_nothing(steps: list[float], asked: float) -> None:
    """No line from a time on, or up to it, is passed over.

    The clock was not set back by more than SET_BACK.
    """
    times, highest = [], 0.0
    for time in accumulate(steps):
        highest = max(highest, time)
        times.append(max(time, highest - seek.SET_BACK + 1))
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "worker.log").write_text(
            "".join(text(n, time) for n, time in enumerate(times)), encoding="utf-8"
        )
        since = Reader([Path(name)], Selection(since=at(asked))).there()
        assert sorted(numbers(list(since))) == [
            n for n, time in enumerate(times) if at(time) >= at(asked)
        ]
        until = Reader([Path(name)], Selection(until=at(asked)))
        assert sorted(numbers(until.last(1000))) == [
            n for n, time in enumerate(times) if at(time) <= at(asked)
        ]


def test_the_lines_written_last_are_found_after_any_step_back(tmp_path: Path) -> None:
    """A clock that was set back by hours costs no line of the time since then."""
    ahead = [text(n, 36_000 + n) for n in range(500)]
    right = [text(1000 + n, n) for n in range(500)]
    (tmp_path / "worker.log").write_text("".join(ahead + right), encoding="utf-8")
    found = numbers(list(Reader([tmp_path], Selection(since=at(490), until=at(30_000))).there()))
    assert found == list(range(1490, 1500))
    assert numbers(Reader([tmp_path], Selection()).last(3)) == [1497, 1498, 1499]


def test_little_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last lines, and those since a while ago, cost a small part of the file.

    The size of the file does not matter.
    """
    path = tmp_path / "worker.log"
    path.write_text("".join(text(n, 10.0 * n) for n in range(20_000)), encoding="utf-8")
    read = []
    pread = os.pread

    def counting(fd: int, length: int, place: int) -> bytes:
        found = pread(fd, length, place)
        read.append(len(found))
        return found

    monkeypatch.setattr("os.pread", counting)
    assert numbers(Reader([tmp_path], Selection()).last(3)) == [19_997, 19_998, 19_999]
    assert numbers(list(Reader([tmp_path], Selection(since=at(199_970))).there())) == [
        19_997,
        19_998,
        19_999,
    ]
    middle = Selection(since=at(100_000), until=at(100_010))
    assert numbers(list(Reader([tmp_path], middle).there())) == [10_000, 10_001]
    assert numbers(Reader([tmp_path], middle).last(1)) == [10_001]
    assert sum(read) < path.stat().st_size / 20


def test_old_archives_are_not_unpacked_for_the_last_lines(tmp_path: Path) -> None:
    """A compressed file is opened only when the later files have too few lines.

    Damage in it is met then.
    """
    packed = tmp_path / "worker.log.2.gz"
    packed.write_bytes(gzip.compress("".join(text(n, n) for n in range(50)).encode())[:-30])
    os.utime(packed, (START.timestamp() + 50, START.timestamp() + 50))
    (tmp_path / "worker.log").write_text(
        "".join(text(n, 10_000 + n) for n in range(100, 110)), encoding="utf-8"
    )
    enough = Reader([tmp_path], Selection())
    assert numbers(enough.last(10)) == list(range(100, 110))
    assert not [last_error for last_error in enough.errors_found() if packed.name in last_error]
    more = Reader([tmp_path], Selection())
    assert numbers(more.last(11))[1:] == list(range(100, 110))
    assert [last_error for last_error in more.errors_found() if packed.name in last_error]


@pytest.mark.parametrize("n", [0, 2])
def test_following_continues_after_the_last_lines(tmp_path: Path, n: int) -> None:
    """What was there comes once, as many lines as asked for.

    Half a line comes when it is whole; an archive never comes again.
    """
    log = tmp_path / "worker.log"
    last = text(12, 12.0)
    log.write_text(text(10, 10.0) + text(11, 11.0) + last[:20], encoding="utf-8")
    (tmp_path / "worker.log.2.gz").write_bytes(gzip.compress(text(1, 1.0).encode()))
    reader = Reader([tmp_path], Selection())
    assert numbers(reader.last(n)) == [10, 11][:n]
    assert numbers(list(reader.more())) == []
    with log.open("a", encoding="utf-8") as file:
        file.write(last[20:])
    assert numbers(list(reader.more())) == [12]


def test_a_line_longer_than_a_block(tmp_path: Path) -> None:
    """A line of any length is whole, read from either end."""
    long = text(1, 1.0, message="y" * 5000)
    (tmp_path / "worker.log").write_text(text(0, 0.0) + long + text(2, 2.0), encoding="utf-8")
    assert numbers(list(Reader([tmp_path], Selection()).there())) == [0, 1, 2]
    assert next(raw for _, raw in Reader([tmp_path], Selection()).last(2)).decode() == long
