"""The shipped logrotate configuration while processes write, and a disk that is full again and again."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.disk import fill, small_disk
from support.rotation import adapted, logrotate
from support.wait import until

WRITERS = 4

# Writes until it is told to end, then one line more. It prints how many lines that were.
WRITER = """
import logging, pathlib, select, sys
from warren import log
log.configure("worker", sys.argv[2], "alpha", pathlib.Path(sys.argv[1]))
number = 0
print("begun", flush=True)
while not (number % 100 == 0 and select.select([sys.stdin], [], [], 0)[0]):
    logging.getLogger("storm").info("line", extra={"number": number, "pad": "x" * (number % 700)})
    number += 1
logging.getLogger("storm").info("last", extra={"number": number})
print(number + 1)
"""


class Writers:
    """Processes that write to worker.log in `folder` as fast as they can, from entering to leaving the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: dict[str, int] = {}

    def __enter__(self) -> Writers:
        words = [sys.executable, "-c", WRITER, str(self.folder)]
        self.processes = [
            subprocess.Popen(
                [*words, f"worker-{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
            )
            for n in range(WRITERS)
        ]
        for process in self.processes:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.written = {f"worker-{n}": int(each.communicate("end", timeout=60)[0]) for n, each in enumerate(self.processes)}
        finally:
            for process in self.processes:
                process.kill()
                process.wait()

    def grown(self) -> bool:
        """Whether the log is long enough for a rotation of it to mean something."""
        path = self.folder / "worker.log"
        return path.exists() and path.stat().st_size > 100_000


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line of the rotated and the current files; one that is neither JSON nor blank fails here."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("worker.log*")):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert text.endswith(b"\n")
        found += [json.loads(line) for line in text.split(b"\n") if line.strip(b" ")]
    return found


def numbers(found: list[dict[str, Any]], program: str) -> list[int]:
    return sorted(line["number"] for line in found if line["program"] == program and "number" in line)


def test_logrotate_loses_and_tears_no_line(tmp_path: Path) -> None:
    """Four processes write as fast as they can over thirty rotations with compression: every line is there, once, whole."""
    folder = tmp_path / "log"
    folder.mkdir()
    configuration = adapted(folder, tmp_path)
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(text.replace("rotate 14", "rotate 40"), encoding="utf-8")  # to count what was kept
    with Writers(folder) as writers:
        for _ in range(30):
            until(writers.grown, 30, "lines to rotate")
            logrotate(configuration, "--force")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(["worker.log", "worker.log.1", *(f"worker.log.{number}.gz" for number in range(2, 31))])
    found = lines(folder)
    for program, count in writers.written.items():
        assert numbers(found, program) == list(range(count))


def test_every_line_is_in_the_log_or_counted_as_lost(tmp_path: Path) -> None:
    """A disk that is full again and again while processes write tears no line, and each says how many it has lost."""
    folder = tmp_path / "log"
    with small_disk(folder, "16m"):
        with Writers(folder) as writers:
            until(writers.grown, 30, "lines")
            for _ in range(50):
                fill(folder).unlink()
        found = lines(folder)
    lost = dict.fromkeys(writers.written, 0)
    for line in found:
        if line["event"] == "cannot_write":
            lost[line["program"]] += line["lost"]
    assert {program: len(numbers(found, program)) + lost[program] for program in lost} == writers.written
    assert sum(lost.values()) > 0
