"""The CPU time of one `warren logs` on the logs of a day.

It is user and system time, with the start of the interpreter.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.wait import run_to_end
from warren.logs.reading.line import moment

WARREN = Path(sys.executable).with_name("warren")
TASK = "6f1c2a9e-0000-4000-8000-000000000000"
FORMS: tuple[list[str], ...] = (
    [],
    ["-n", "10"],
    ["--since", "10m"],
    ["--since", "10h", "--until", "9h"],
    ["--task", TASK],
    ["--level", "error"],
)
#: Which part of the lines each file has: what logrotate leaves of a busy day.
FILES = {"worker.log.2.gz": 0.1, "worker.log.1": 0.5, "worker.log": 0.4}
DAY = timedelta(days=1)


def main() -> None:
    """Asks each question several times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--lines", type=int, default=1_000_000, help="lines of the logs (1,000,000)"
    )
    parser.add_argument("--calls", type=int, default=5, help="calls of each form (5)")
    parser.add_argument(
        "--warren",
        type=Path,
        default=WARREN,
        help="the command to measure, such as an older version's",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        size = write(Path(directory), options.lines)
        asked = {
            " ".join(["logs", *form]): [options.warren, "logs", "--dir", directory, *form]
            for form in FORMS
        }
        found = {name: measured(arguments, options.calls) for name, arguments in asked.items()}
    for name, figures in found.items():
        print(
            f"warren {name}: median {figures['median']} s, least {figures['least']}, most "
            f"{figures['most']}",
            file=sys.stderr,
        )
    if options.json:
        said = {
            "bench": "logs",
            "unit": "s of CPU a call",
            "lines": options.lines,
            "bytes": size,
            "calls": options.calls,
        }
        print(json.dumps({**said, "forms": found}))


def write(directory: Path, lines: int) -> int:
    """The logs of a day that ends now; their size in bytes before compression."""
    begin, numbers, size = datetime.now(UTC) - DAY, iter(range(lines)), 0
    for name, part in FILES.items():
        with (
            gzip.open(directory / name, "wb", 6)
            if name.endswith(".gz")
            else open(directory / name, "wb") as file
        ):
            for number in islice(numbers, round(part * lines)):
                time = begin + DAY * (number / lines)
                size += file.write(line(moment(time).decode(), number, lines))
        os.utime(directory / name, (time.timestamp(), time.timestamp()))
    return size


def line(time: str, number: int, lines: int) -> bytes:
    """Return the line of a task's end, as a worker logs it.

    One of all is the task that is asked for, one in a thousand fails.
    """
    task = TASK if number == lines * 7 // 10 else f"{number:08x}-1111-4111-8111-111111111111"
    failed = number % 1000 == 0
    fields = {
        "timestamp": time,
        "level": "error" if failed else "info",
        "event": "task_failed" if failed else "task_succeeded",
        "daemon": "worker",
        "program": "worker-main",
        "host": "alpha",
        "pid": 4711,
        "task_id": task,
        "root_id": task,
        "task": "shop.fetch_price",
        "queue": "default",
        "attempt": 1,
        "waited_s": 0.012,
        "ran_s": 0.251,
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def measured(arguments: list[str], calls: int) -> dict[str, float]:
    """Seconds of CPU over so many calls."""
    used = sorted(call(arguments) for _ in range(calls))
    return {
        "median": round(median(used), 3),
        "least": round(used[0], 3),
        "most": round(used[-1], 3),
    }


def call(arguments: list[str]) -> float:
    """One call: it must have found something."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_to_end(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or done.stderr:
        raise SystemExit(
            f"warren logs: expected lines, found exit code {done.returncode}: {done.stderr}"
        )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
