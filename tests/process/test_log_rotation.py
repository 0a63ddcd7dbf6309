"""The shipped logrotate configuration while processes write, and disks that are full."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from support.disk import fill, small_disk
from support.rotation import adapted, logrotate
from support.storm import Storm
from support.wait import until


def lines(directory: Path) -> list[dict[str, Any]]:
    """Return every line of the rotated and the current files.

    A line that is neither JSON nor blank fails here.
    """
    found: list[dict[str, Any]] = []
    for path in sorted(directory.glob("worker.log*")):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert text.endswith(b"\n")
        found += [json.loads(line) for line in text.split(b"\n") if line.strip(b" ")]
    return found


def numbers(found: list[dict[str, Any]], program: str) -> list[int]:
    return sorted(
        line["number"] for line in found if line["program"] == program and "number" in line
    )


def test_logrotate_loses_and_tears_no_line(tmp_path: Path) -> None:
    """Four processes write as fast as they can over thirty rotations with compression.

    Every line is there, once, whole.
    """
    directory = tmp_path / "log"
    directory.mkdir()
    configuration = adapted(directory, tmp_path)
    text = configuration.read_text(encoding="utf-8")
    # to count what was kept
    configuration.write_text(text.replace("rotate 14", "rotate 40"), encoding="utf-8")
    with Storm(directory) as storm:
        for _ in range(30):
            until(storm.grown, what="lines to rotate")
            logrotate(configuration, "--force")
    names = sorted(path.name for path in directory.iterdir())
    assert names == sorted(
        ["worker.log", "worker.log.1", *(f"worker.log.{number}.gz" for number in range(2, 31))]
    )
    found = lines(directory)
    for program, count in storm.written.items():
        assert numbers(found, program) == list(range(count))


def test_every_line_is_in_the_log_or_counted_as_lost(tmp_path: Path) -> None:
    """A disk that is full again and again while processes write tears no line.

    Each process says how many lines it has lost.
    """
    directory = tmp_path / "log"
    with small_disk(directory, "64m"):
        with Storm(directory) as storm:
            until(storm.grown, what="lines")
            rounds = 0

            def refused() -> bool:
                """Fill the disk for a moment.

                Return whether that has cost a line, after fifty times: a writer may stand still.
                """
                nonlocal rounds
                rounds += 1
                fill(directory).unlink()
                said = storm.log.read_bytes()
                # The log itself must not fill the disk: nobody could say then what is lost.
                return (rounds >= 50 or len(said) > 32 << 20) and b'"cannot_write"' in said

            until(refused, every=0, what="a line that found no room")
        found = lines(directory)
    lost = dict.fromkeys(storm.written, 0)
    for line in found:
        if line["event"] == "cannot_write":
            lost[line["program"]] += line["lost"]
    assert {
        program: len(numbers(found, program)) + lost[program] for program in lost
    } == storm.written
    assert sum(lost.values()) > 0
