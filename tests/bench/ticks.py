"""Beat with more ticks than it can send.

It measures how many a second it sends, on each broker, and whether it logs each other tick.

With --faults: two beats and entries of 1 s, while leaders are killed and stopped, and the broker
goes away.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.bench import BROKERS, parser, place
from support.outages import rabbitmq_with_outages, redis_with_outages
from support.suite import Suite, broker_section
from support.tick_faults import Fleet, run
from support.ticks import balance
from support.wait import TIMEOUT, end_of, until

EVERY = 0.1


def main() -> None:
    """Runs one broker after the other."""
    options = parser(__doc__)
    options.add_argument(
        "--entries",
        type=int,
        help=f"schedule entries, each with a tick every {EVERY:g} s (50; 20 with --faults)",
    )
    options.add_argument("--seconds", type=float, help="how long (30; 600 with --faults)")
    options.add_argument(
        "--faults", type=int, default=0, help="kills and stops of leaders, half of each (0)"
    )
    options.add_argument(
        "--outages",
        type=int,
        default=2,
        help="with --faults: outages of the broker (2; the embedded one has none)",
    )
    options.add_argument(
        "--seed", type=int, default=1, help="the moments of the faults follow from it (1)"
    )
    chosen = options.parse_args()
    found: dict[str, object] = {}
    if chosen.faults:
        for broker in chosen.broker or BROKERS:
            found[broker] = with_faults(broker, chosen)
            print(f"{broker}: {found[broker]}", file=sys.stderr, flush=True)
        if chosen.json:
            print(json.dumps({"bench": "ticks", "faults": chosen.faults, "brokers": found}))
        return
    chosen.entries, chosen.seconds = chosen.entries or 50, chosen.seconds or 30.0
    for broker in chosen.broker or BROKERS:
        with place(broker, "ticks") as here:
            found[broker] = measured(*here, chosen.entries, chosen.seconds)
        print(f"{broker}: {found[broker]}", file=sys.stderr, flush=True)
    if chosen.json:
        print(
            json.dumps(
                {
                    "bench": "ticks",
                    "entries": chosen.entries,
                    "due_per_s": chosen.entries / EVERY,
                    "brokers": found,
                }
            )
        )


def measured(
    directory: Path, url: str, queues: str, entries: int, seconds: float
) -> dict[str, float]:
    """Return the balance of the ticks.

    It has ticks a second, milliseconds of CPU a tick, and the median and longest lateness
    (seconds).
    """
    schedule = "".join(
        f"[schedule:s{number}]\ntask = jobs.tick\nevery = {EVERY}s\n" for number in range(entries)
    )
    broker = broker_section(directory, url) if url else "[broker]\n"
    suite = Suite(directory, broker + f"queue_type = {queues}\n" + schedule, modules="jobs")
    suite.module(
        "jobs",
        "from celery import shared_task\n\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n",
    )
    with suite.running("beat") as beat:
        suite.await_event("beat", "tick_sent")
        time.sleep(seconds)  # load: this long it sends
        until(lambda: suite.heartbeat("beat"), what="a heartbeat", within=TIMEOUT)
        used = sum(
            map(
                int,
                Path(f"/proc/{beat.pid}/stat")
                .read_text(encoding="utf-8")
                .rsplit(")")[1]
                .split()[11:13],
            )
        )
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


def with_faults(broker: str, chosen: Namespace) -> dict[str, Any]:
    """What became of the ticks of a fleet."""
    with TemporaryDirectory(prefix="warren-ticks-") as scratch, ExitStack() as stack:
        (directory := Path(scratch) / "server").mkdir()
        url, outage, outages, hosts = "", None, 0, 1
        if broker != "embedded":
            server = redis_with_outages if broker == "redis" else rabbitmq_with_outages
            url, outage = stack.enter_context(server(directory))
            outages, hosts = chosen.outages, 2
        fleet = Fleet(
            Path(scratch),
            url,
            "classic" if broker.endswith("classic") else "auto",
            chosen.entries or 20,
            hosts,
        )
        return asdict(
            run(fleet, chosen.seconds or 600.0, chosen.faults, outages, outage, chosen.seed)
        )


if __name__ == "__main__":
    main()
