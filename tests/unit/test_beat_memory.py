"""What beat remembers over a restart on the embedded broker."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.forks import child, end, killed_at
from warren import atomic_write
from warren.beat.memory import Memory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the memory of a test is."""
    return tmp_path / "beat" / "ticks.json"


@given(ticks=st.dictionaries(st.text(), st.floats(0, 4e9)))
def test_it_remembers(tmp_path_factory: pytest.TempPathFactory, ticks: dict[str, float]) -> None:
    """Another beat reads exactly what was written, whatever the entries are called."""
    path = tmp_path_factory.mktemp("memory") / "beat" / "ticks.json"
    Memory(path).write({"old": 1.0})
    Memory(path).write(ticks)
    assert Memory(path).read() == ticks


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"null",
            b"7",
            b'{"a": "soon"}',
            b'{"a": null}',
            b'{"a": [1]}',
            b"\xff\xfe",
            b'{"a": 1',
            b"\x00" * 4096,
        ),
        *(b'{"a": Infinity}', b'{"a": NaN, "b": 1.0}', b'{"a": 1e999}', b'{"a": 1' + b"0" * 400 + b"}", b"[" * 100_000),
    ],
)
def test_what_is_not_ours(path: Path, content: bytes) -> None:
    """A damaged file is as good as none, and is replaced by the next tick."""
    path.parent.mkdir()
    path.write_bytes(content)
    assert Memory(path).read() == {}
    Memory(path).write({"a": 1.0})
    assert Memory(path).read() == {"a": 1.0}


def test_nothing_there(path: Path) -> None:
    """Without a file nothing is known."""
    assert Memory(path).read() == {}


def test_replaced_whole(path: Path) -> None:
    """Who reads while it is written reads the old ticks whole."""
    Memory(path).write({"a": 1.0})
    with open(path, encoding="utf-8") as old:
        Memory(path).write({"a": 2.0, "b": 3.0})
        assert old.read() == '{"a": 1.0}'


def test_full_disk(path: Path) -> None:
    """When the file cannot be written that is an OSError, and the old one stays whole."""

    def in_vain() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(OSError, match="too large"):
            Memory(path).write({"a" * 100: 2.0})

    Memory(path).write({"a": 1.0})
    assert end(child(in_vain)) == 0
    assert Memory(path).read() == {"a": 1.0}


def test_killed_while_it_writes(path: Path) -> None:
    """Killed at any line of writing, the next beat reads the old ticks or the new ones."""
    seen, line, killed = set(), 0, True
    while killed:
        Memory(path).write({"a": 1.0})
        killed = killed_at(line, lambda: Memory(path).write({"a": 2.0}), atomic_write.__file__)
        seen.add(Memory(path).read()["a"])
        line += 1
    assert line > 5
    assert seen == {1.0, 2.0}
