"""Every measurement of tests/bench starts by itself, as scripts/bench calls it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support.wait import run_to_end

BENCHES = sorted((Path(__file__).parents[1] / "bench").glob("*.py"))


@pytest.mark.parametrize("bench", BENCHES, ids=[each.stem for each in BENCHES])
def test_it_starts(bench: Path) -> None:
    """Each bench says what it measures and has --json.

    It has no more on Python's path than scripts/bench gives it.
    """
    done = run_to_end(
        [sys.executable, "-P", bench, "--help"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout
