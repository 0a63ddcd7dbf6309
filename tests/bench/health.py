"""The CPU time of one `warren health`, user and system, start of the interpreter included."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.broker_status import QUOTA_STATUS
from support.wait import run_to_end

WARREN = Path(sys.executable).with_name("warren")
FORMS: tuple[list[str], ...] = ([], ["--json"], ["queues"], ["disk"])


def main() -> None:
    """Runs each form of the verb on a run directory of a suite that is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=40, help="calls of each form (40)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = {
            " ".join(["health", *form]): measured(Path(directory), form, options.calls)
            for form in FORMS
        }
    for form, figures in found.items():
        print(
            f"warren {form}: median {figures['median']} ms, 5 % below {figures['p5']}, 5 % "
            f"above {figures['p95']}",
            file=sys.stderr,
        )
    if options.json:
        print(
            json.dumps(
                {
                    "bench": "health",
                    "unit": "ms of CPU a call",
                    "calls": options.calls,
                    "forms": found,
                }
            )
        )


def write(directory: Path) -> None:
    """Make a configuration, and the files that a suite of some size writes.

    It has ten workers, thirty queues and ten quotas.
    """
    me, start = (
        os.getpid(),
        int(Path("/proc/self/stat").read_bytes().rsplit(b")", 1)[1].split()[19]),
    )
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    (directory / "warren.ini").write_text(f"[app]\nrun_dir = {directory}\n", encoding="utf-8")
    names = [*(f"worker-{number}" for number in range(10)), "beat", "quota-watchdog"]
    common = {
        "pid": me,
        "since": at,
        "state": "RUNNING",
        "ready": True,
        "backing_off": False,
        "restarts": 0,
        "last_error": "",
        "condition": "ready",
        "condition_since": at,
    }
    programs = [{"program": name, **common} for name in names]
    queue = {"messages": 12, "growth_per_s": -0.1, "empty_in_s": 120.0, "level": 0}
    files = {
        "programs.json": {
            "at": at,
            "pid": me,
            "start": start,
            "state": "running",
            "programs": programs,
        },
        "broker.json": {
            "at": at,
            "broker": {"kind": "rabbitmq", "reachable": True, "reason": "", "alarms": []},
            "queues": {f"queue-{number}": queue for number in range(30)},
            "quotas": {f"quota-{number}": QUOTA_STATUS for number in range(10)},
        },
    }
    for name in names:
        heartbeat = {
            "program": name,
            "pid": me,
            "start": start,
            "at": at,
            "since": at,
            "state": "ready",
            "details": {},
        }
        files[f"heartbeats/{name}.json"] = heartbeat
    (directory / "heartbeats").mkdir(exist_ok=True)
    for path, said in files.items():
        (directory / path).write_text(json.dumps(said), encoding="utf-8")


def measured(directory: Path, form: list[str], calls: int) -> dict[str, float]:
    """Milliseconds of CPU over so many calls."""
    used = sorted(call(directory, form) for _ in range(calls))
    p5, p95 = quantiles(used, n=20)[0], quantiles(used, n=20)[-1]
    return {
        "median": round(median(used), 1),
        "p5": round(p5, 1),
        "p95": round(p95, 1),
        "most": round(used[-1], 1),
    }


def call(directory: Path, form: list[str]) -> float:
    """One call: it must have been able to say something."""
    write(directory)  # so that nothing is old
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_to_end([WARREN, "--config", directory, "health", *form], capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode > 2 or not done.stdout:
        raise SystemExit(f"warren health: expected a line, found: {done.stderr}")
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
