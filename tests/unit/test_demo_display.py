"""What a run shows, in a pipe and for a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.runs import GOOD
from warren.demo.quickstart.display import Show


def test_in_a_pipe_there_are_few_lines_and_whole_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no bar can be drawn, each work has its first and last line, and few between.

    Paths are not cut.
    """
    long = "/" + "x" * 300
    with Show(quiet=False) as show:
        for done in range(1001):
            show.at("documents", done, 1000)
        show.at("documents", 1000, 1000)
    show.figures(GOOD, long)
    lines = capsys.readouterr().out.splitlines()
    told = [line.split()[:2] for line in lines if line.startswith("documents")]
    assert told == [["documents", "0/1000"], ["documents", "1000/1000"], ["documents", "300"]]
    assert any(line.endswith(long) for line in lines)


def test_for_a_machine_there_is_nothing_but_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json nothing is shown on the way."""
    with Show(quiet=True) as show:
        show.say("hello")
        show.at("documents", 1, 1)
    show.figures(GOOD, "report")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("documents", "told"), [(179, "too short to tell"), (180, "100.0% of the 300 calls")]
)
def test_a_short_run_says_nothing_of_the_use(
    capsys: pytest.CaptureFixture[str], documents: int, told: str
) -> None:
    """Below three windows of documents the table has no figure.

    It would be mostly that of the first burst.
    """
    Show(quiet=False).figures(replace(GOOD, documents=documents), "report")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("use ")]
    assert told in line
