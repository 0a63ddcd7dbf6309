"""The files of the run directory, written and read beside planted files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.plants import PLANTS
from warren.status import heartbeat, status_file
from warren.status.heartbeat import HeartbeatWriter
from warren.status.validation import NUMBER
from warren.system.regular_file import LARGEST, TooLarge


@pytest.mark.parametrize("word", PLANTS)
def test_what_is_no_file_is_last_error(tmp_path: Path, word: str) -> None:
    """Nobody waits for it or follows it; who reads it is told what it is, and where."""
    path = tmp_path / "x.json"
    PLANTS[word](path)
    found = status_file.read(path)
    assert found.said is None
    assert not found.missing
    assert found.last_error.startswith(f"{path}: ")
    assert word in found.last_error


@pytest.mark.parametrize("word", PLANTS)
def test_a_writer_waits_for_nobody(tmp_path: Path, word: str) -> None:
    """A plant in the place of the file, or of its temporary file, is replaced.

    It is never waited for, and never written through. A directory is renamed.
    """
    for name in ("x.json.new", "x.json"):
        path = tmp_path / name
        PLANTS[word](path)
        status_file.write(tmp_path / "x.json", {"at": 1.0})
        assert status_file.read(tmp_path / "x.json").said == {"at": 1.0}
        (tmp_path / "x.json").unlink()
        assert all(target.read_bytes() == b"" for target in tmp_path.glob("*.target"))
        for left in tmp_path.glob("*.target"):
            left.unlink()


@pytest.mark.parametrize(
    "text",
    [
        '{"at": NaN}',
        '{"at": Infinity}',
        '{"at": 1e999}',
        '{"at": -1e999}',
        '{"at": %s}' % ("9" * 30),
        '{"at": %s}' % ("9" * 10_000),
        '{"at": 1, "x": %s}' % ("[" * 40 + "]" * 40),
        '{"at": 1, "x": %s}' % ("[" * 900 + "]" * 900),
        '{"at": 1, "x": %s}' % ("[" * 100_000 + "]" * 100_000),
        '{"at": 1, "x": %s}' % ('{"a":' * 50_000),
        '{"at": "1"}',
        '{"at": true}',
        "[1]",
        "{",
        "",
        "\x00",
    ],
    ids=lambda text: text[:20],
)
def test_what_nobody_can_work_with_is_last_error(tmp_path: Path, text: str) -> None:
    """Endless numbers, bottomless nesting and other text are reported, and raise nothing.

    This holds here and later.
    """
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    found = status_file.read(tmp_path / "x.json", at=(int, float))
    assert found.said is None
    assert found.last_error.startswith(f"{tmp_path}/x.json: ")


def test_numbers_that_are_large_and_honest(tmp_path: Path) -> None:
    """Times in ns have 64 bits, and are read as they are."""
    status_file.write(tmp_path / "x.json", {"at": 1e300, "x": [2**63, -(2**63), {"y": [[]]}]})
    assert status_file.read(tmp_path / "x.json").said == {
        "at": 1e300,
        "x": [2**63, -(2**63), {"y": [[]]}],
    }


def test_a_file_that_no_reader_takes_is_not_written(tmp_path: Path) -> None:
    """The writer hears of it, and the old file stands."""
    status_file.write(tmp_path / "x.json", {"at": 1.0})
    with pytest.raises(TooLarge):
        status_file.write(tmp_path / "x.json", {"at": 2.0, "x": "x" * LARGEST})
    assert status_file.read(tmp_path / "x.json").said == {"at": 1.0}


def test_a_heartbeat_that_has_too_much_to_say(tmp_path: Path) -> None:
    """A watchdog of a hundred thousand quotas is not taken for one that hangs.

    Its heartbeat is written without them.
    """
    assert HeartbeatWriter(tmp_path, "beat").write(
        "ready", quotas=["a quota with a long name"] * 100_000
    )
    assert heartbeat.read(tmp_path, ["beat"]).by_program["beat"].details == {"generation": 0}


def test_only_heartbeats_of_the_programs_are_opened(tmp_path: Path) -> None:
    """However many other files lie there, and whatever they are, they cost nothing."""
    HeartbeatWriter(tmp_path, "beat").write("ready")
    os.mkfifo(tmp_path / "heartbeats" / "x.json")
    (tmp_path / "other.json").write_text("{}")
    for number in range(1000):
        (tmp_path / "heartbeats" / f"y{number}.json").write_text("{}")
    found = heartbeat.read(tmp_path, ["beat", "worker-a", "../other", "a\0b", "\ud800", "z" * 300])
    assert list(found.by_program) == ["beat"]
    assert sorted(found.errors_found) == sorted(["\ud800", "z" * 300])


@pytest.mark.parametrize(
    "change",
    [{"program": "worker-a"}, {"details": {"queues": [[]]}}, {"details": {"running": "x"}}],
)
def test_a_heartbeat_of_another_shape_counts_for_nothing(
    tmp_path: Path, change: dict[str, object]
) -> None:
    """A heartbeat speaks for the program that its name says.

    Its values are such that supervise can count with them.
    """
    HeartbeatWriter(tmp_path, "beat").write("ready")
    path = tmp_path / "heartbeats" / "beat.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = heartbeat.read(tmp_path, ["beat"])
    assert found.by_program == {}
    assert "expected" in found.errors_found["beat"]


def test_what_is_published_holds_no_secret(tmp_path: Path) -> None:
    """What went wrong is told in words of others; health and status repeat it.

    Numbers stay, whatever they are called.
    """
    path = tmp_path / "broker.json"
    last_error = {
        "reason": "cannot reach amqp://u:secret77@h",
        "more": [{"url": "?api_token=secret77"}],
    }
    status_file.write(path, {"at": 1.0, "queues": {"token": 5}, **last_error})
    assert "secret77" not in path.read_text()
    said = status_file.read(path, queues={str: NUMBER}, reason=str).said
    assert said == {
        "at": 1.0,
        "queues": {"token": 5},
        "reason": "cannot reach amqp://u:***@h",
        "more": [{"url": "?api_token=***"}],
    }
