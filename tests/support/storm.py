"""Processes that write to one log as fast as they can, and the count of what they wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.wait import output_of

WRITERS = 4

# Writes until it is told to end, then one line more. It prints how many lines that were.
_WRITER = """
import logging, pathlib, select, sys
from warren.logs import setup as log
log.configure("worker", sys.argv[2], "alpha", pathlib.Path(sys.argv[1]))
number = 0
print("begun", flush=True)
while not (number % 100 == 0 and select.select([sys.stdin], [], [], 0)[0]):
    logging.getLogger("storm").info("line", extra={"number": number, "pad": "x" * (number % 700)})
    number += 1
logging.getLogger("storm").info("last", extra={"number": number})
print(number + 1)
"""


class Storm:
    """Four programs write to worker.log in `directory` from entering to leaving the block.

    `written` then says how many lines each wrote: their field `number` counts from 0.
    """

    def __init__(self, directory: Path) -> None:
        self.log = directory / "worker.log"
        self.written: dict[str, int] = {}
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Storm:
        for number in range(WRITERS):
            arguments = [sys.executable, "-c", _WRITER, str(self.log.parent), f"worker-{number}"]
            pipe, null = subprocess.PIPE, subprocess.DEVNULL
            self._processes.append(
                subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=null, text=True)
            )
        for process in self._processes:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_: object) -> None:
        try:
            counts = [int(output_of(process, "end")[0]) for process in self._processes]
            self.written = {f"worker-{number}": count for number, count in enumerate(counts)}
        finally:
            for process in self._processes:
                process.kill()
                process.wait()

    def grown(self) -> bool:
        """Return whether every program has logged enough since the last rotation.

        It is enough for one more rotation to mean something.

        On a busy machine a program may stand still for longer than two rotations by a test take. A
        real one that did, within a write, would write that line once more.
        """
        text = self.log.read_bytes() if self.log.exists() else b""
        return len(text) > 100_000 and all(
            f'"program":"worker-{number}"'.encode() in text for number in range(WRITERS)
        )
