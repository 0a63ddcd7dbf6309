"""Beat with more ticks than it can send: how many a second it sends, on each broker, and whether each other one is told."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.bench import BROKERS, parser, place
from support.suite import Suite, broker_section
from support.ticks import balance
from support.wait import PATIENCE, end_of, until

EVERY = 0.1


def main() -> None:
    """Runs one broker after the other."""
    options = parser(__doc__)
    options.add_argument("--entries", type=int, default=50, help=f"schedule entries, each with a tick every {EVERY:g} s (50)")
    options.add_argument("--seconds", type=float, default=30.0, help="how long (30)")
    chosen = options.parse_args()
    found = {}
    for broker in chosen.broker or BROKERS:
        with place(broker, "ticks") as here:
            found[broker] = measured(*here, chosen.entries, chosen.seconds)
        print(f"{broker}: {found[broker]}", file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps({"bench": "ticks", "entries": chosen.entries, "due_per_s": chosen.entries / EVERY, "brokers": found}))


def measured(folder: Path, url: str, queues: str, entries: int, seconds: float) -> dict[str, float]:
    """The balance of the ticks; how many a second, milliseconds of CPU a tick, the median and longest lateness (seconds)."""
    schedule = "".join(f"[schedule:s{number}]\ntask = jobs.tick\nevery = {EVERY}s\n" for number in range(entries))
    broker = broker_section(folder, url) if url else "[broker]\n"
    suite = Suite(folder, broker + f"queue_type = {queues}\n" + schedule, modules="jobs")
    suite.module("jobs", "from celery import shared_task\n\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n")
    with suite.running("beat") as beat:
        suite.await_event("beat", "tick_sent")
        time.sleep(seconds)  # load: this long it sends
        until(lambda: suite.heart("beat"), what="a heart", within=PATIENCE)
        used = sum(map(int, Path(f"/proc/{beat.pid}/stat").read_text(encoding="utf-8").rsplit(")")[1].split()[11:13]))
        beat.terminate()
        assert end_of(beat) == 0
    lines = suite.log("beat")
    late = sorted(line["late_s"] for line in lines if line["event"] == "tick_sent")
    found = balance(lines, EVERY)
    return {
        **asdict(found),
        "per_s": round(found.sent / seconds, 1),
        "cpu_ms": round(used / os.sysconf("SC_CLK_TCK") * 1000 / found.sent, 2),
        "late_median_s": late[len(late) // 2],
        "late_longest_s": late[-1],
    }


if __name__ == "__main__":
    main()
