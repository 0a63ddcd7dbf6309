"""How the tests wait: no deadline can be short, and nearly missed ones are listed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import order, waits
from support.wait import SHORTEST, TIMEOUT, Waited, deadline, end_of, run_to_end, until
from support.wait import waits as waited

TESTS = Path(__file__).parents[1]
#: A run of its own with the hooks of these tests: one test was near a deadline of 60 s, as its
#: clock said, and one was not.
SLOW = """
import time
from support import wait

def test_slow(monkeypatch):
    times = iter([0.0, 0.0, 40.0])
    monkeypatch.setattr(wait.time, "monotonic", lambda: next(times))
    wait.until(lambda: True, 60, "the slow thing")
    monkeypatch.undo()

def test_quick():
    wait.until(lambda: True, what="the quick thing")
"""


def test_no_deadline_is_short() -> None:
    """The author of a short deadline is told what to do instead, before any wait."""
    called: list[int] = []
    with pytest.raises(
        AssertionError, match=r"expected 60 s or more for the thing, found 20 s; leave it out"
    ):
        until(lambda: called.append(1), 20, "the thing")
    assert not called
    assert TIMEOUT > SHORTEST


def test_every_wait_is_noted() -> None:
    """For what, how long it took, and how long it might have taken: also when it fails."""
    waited.clear()
    until(lambda: True, 77, "the thing")
    run_to_end(["true"])
    end_of(subprocess.Popen(["true"]))
    with pytest.raises(ValueError, match="no"), deadline("a failure"):
        raise ValueError("no")
    assert [(wait.what, wait.within) for wait in waited] == [
        ("the thing", 77),
        ("true", TIMEOUT),
        ("the end of true", TIMEOUT),
        ("a failure", TIMEOUT),
    ]
    assert all(0 <= wait.took < wait.within for wait in waited)


def test_the_table_has_the_waits_that_took_more_than_half() -> None:
    """The nearest first; with none of them one line names the nearest."""
    near, nearer, far = Waited("a", 31, 60), Waited("b", 150, 180), Waited("c", 29, 60)
    assert waits.worth_noting([near, far, nearer]) == [near, nearer]
    assert waits.worth_noting([far, Waited("d", 1, 60)]) == [far]
    assert waits.worth_noting([]) == []
    assert waits.lines([("t::1", near), ("t::2", far), ("t::3", nearer)], 9) == [
        " 83%  t::3: 150.0 s of 180 s, b",
        " 52%  t::1: 31.0 s of 60 s, a",
    ]
    assert waits.lines([("t::2", tuple(far))], 9) == [
        "none of 9 tests came within half of a deadline; the nearest: 48%  t::2: 29.0 s of 60 s, c"
    ]
    assert waits.lines([], 9) == ["none of 9 tests waited"]


def test_the_files_that_take_long_begin() -> None:
    """Each long file of tests exists, and is taken before all others, the longest first."""
    assert [name for name in order.LONG if not (TESTS / name).exists()] == []
    files = [TESTS / "unit" / "test_waits.py", *(TESTS / name for name in reversed(order.LONG))]
    first = max(files, key=order.seconds)
    assert order.seconds(first) == max(order.LONG.values()) > order.seconds(files[0]) == 0


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]], ids=["alone", "by workers"])
def test_a_run_ends_with_the_table(tmp_path: Path, arguments: list[str]) -> None:
    """With and without worker processes, once a test."""
    (tmp_path / "test_slow.py").write_text(SLOW, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        (TESTS / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-o",
        f"pythonpath={TESTS}",
        *arguments,
        str(tmp_path),
    ]
    done = run_to_end([*command, "--rootdir", str(tmp_path)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    _, table = re.split(r"=+ deadlines =+\n", done.stdout)
    assert table.splitlines()[0] == " 67%  test_slow.py::test_slow: 40.0 s of 60 s, the slow thing"
    assert "test_quick" not in table
