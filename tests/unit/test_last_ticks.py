"""What beat remembers over a restart on the embedded broker."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.forks import child, end, killed_at
from warren.beat.last_ticks import KnownTicks, LastTicks
from warren.system import atomic_write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the memory of a test is."""
    return tmp_path / "beat" / "ticks.json"


TICK = st.floats(0, 4e9)


@given(
    last=st.dictionaries(st.text(), TICK),
    begun=st.dictionaries(st.text(), st.lists(TICK).map(tuple)),
    rounds=st.dictionaries(st.text(), st.integers(0, 1000)),
)
def test_it_remembers(
    tmp_path_factory: pytest.TempPathFactory,
    last: dict[str, float],
    begun: dict[str, tuple[float, ...]],
    rounds: dict[str, int],
) -> None:
    """Another beat reads exactly what was written, whatever the entries are called."""
    path = tmp_path_factory.mktemp("memory") / "beat" / "ticks.json"
    LastTicks(path).write(KnownTicks({"old": 1.0}))
    LastTicks(path).write(KnownTicks(last, begun, rounds))
    assert LastTicks(path).read() == KnownTicks(last, begun, rounds)


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"null",
            b"7",
            b'{"a": 1',
            b"\xff\xfe",
            b"\x00" * 4096,
            b"[" * 100_000,
            b'{"last": {}}',
        ),
        *(
            b'{"last": {"a": ' + tick + b'}, "begun": {}}'
            for tick in (
                b'"soon"',
                b"null",
                b"[1]",
                b"NaN",
                b"1e999",
                b"1" + b"0" * 400,
                b"-1e18",
                b"-1",
                b"1e18",
            )
        ),
        *(
            b'{"last": {"a": 1}, "begun": ' + begun + b"}"
            for begun in (b"[]", b"7", b'{"a": 1}', b'{"a": [null]}', b'{"a": [Infinity]}')
        ),
        *(
            b'{"last": {"a": 1}, "begun": {}, "rounds": ' + rounds + b"}"
            for rounds in (
                b"[]",
                b"7",
                b"null",
                b'{"a": "x"}',
                b'{"a": [1]}',
                b'{"a": Infinity}',
                b'{"a": ' + b"9" * 300 + b"}",
                b'{"a": ' + b"9" * 5000,
            )
        ),
    ],
)
def test_what_is_not_ours(path: Path, content: bytes) -> None:
    """A damaged file, or one with a tick that has no date, counts as none.

    The next tick replaces it.
    """
    path.parent.mkdir()
    path.write_bytes(content)
    assert LastTicks(path).read() == KnownTicks()
    LastTicks(path).write(KnownTicks({"a": 1.0}))
    assert LastTicks(path).read() == KnownTicks({"a": 1.0})


def test_the_form_of_older_versions(path: Path) -> None:
    """After an upgrade no tick that came due meanwhile is passed over.

    An entry may have a name that has a meaning in today's form.
    """
    path.parent.mkdir()
    path.write_bytes(b'{"nightly": 1764450000.0, "last": 2.5, "begun": 3}')
    assert LastTicks(path).read() == KnownTicks(
        {"nightly": 1764450000.0, "last": 2.5, "begun": 3.0}
    )
    path.write_bytes(b'{"last": {"a": 1.0}, "begun": {"a": [2.0]}}')
    assert LastTicks(path).read() == KnownTicks({"a": 1.0}, {"a": (2.0,)})


def test_nothing_there(path: Path) -> None:
    """Without a file nothing is known."""
    assert LastTicks(path).read() == KnownTicks()


def test_replaced_whole(path: Path) -> None:
    """Who reads while it is written reads the old ticks whole."""
    LastTicks(path).write(KnownTicks({"a": 1.0}))
    with open(path, encoding="utf-8") as old:
        LastTicks(path).write(KnownTicks({"a": 2.0, "b": 3.0}))
        assert old.read() == KnownTicks({"a": 1.0}).as_json()


def test_full_disk(path: Path) -> None:
    """When the file cannot be written that is an OSError, and the old one stays whole."""

    def in_vain() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(OSError, match="too large"):
            LastTicks(path).write(KnownTicks({"a" * 100: 2.0}))

    LastTicks(path).write(KnownTicks({"a": 1.0}))
    assert end(child(in_vain)) == 0
    assert LastTicks(path).read() == KnownTicks({"a": 1.0})


def test_killed_while_it_writes(path: Path) -> None:
    """Killed at any line of writing, the next beat reads the old ticks or the new ones."""
    seen, line, killed = set(), 0, True
    while killed:
        LastTicks(path).write(KnownTicks({"a": 1.0}))
        killed = killed_at(
            line, lambda: LastTicks(path).write(KnownTicks({"a": 2.0})), atomic_write.__file__
        )
        seen.add(LastTicks(path).read().last["a"])
        line += 1
    assert line > 5
    assert seen == {1.0, 2.0}
