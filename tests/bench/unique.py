"""What `warren.unique` and `warren.once` add to a call: round trips and CPU time.

Redis counts the commands. The CPU time is that of this process: each figure is for one call of an
empty function, above the bare call.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import bench
from support.suite import Suite, broker_section
from warren.app.factory import make_app
from warren.config import load
from warren.tasks.once import once
from warren.tasks.unique import unique


def nothing(number: int) -> int:
    """Do no work."""
    return number


#: What is measured, by name.
CALLS: dict[str, Callable[[int], int]] = {
    "unique": unique("bench:{number}")(nothing),
    "once": once("bench:{number}", keep=60)(nothing),
    # The same numbers again: the work is done.
    "once again": once("bench:{number}", keep=60)(nothing),
}
#: Commands that cost a round trip of their own. Redis counts those within scripts, too.
TRIPS = ("evalsha", "eval", "script|load", "hello", "auth", "select", "client|setinfo")


def main() -> None:
    """Run each kind of call on each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="calls of a repeat (1000)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each kind (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    found = {}
    for store in ("embedded", "redis"):
        with bench.place(store, "unique") as place:
            found[store] = _measured(place, options.calls, options.repeats)
        for name, figures in found[store].items():
            said = ", ".join(f"{key} {value}" for key, value in figures.items())
            print(f"{store}, {name}: {said}", file=sys.stderr)
    if options.json:
        print(json.dumps({"bench": "unique", "unit": "per call", "calls": options.calls, **found}))


def _measured(place: bench.Place, calls: int, repeats: int) -> dict[str, Any]:
    ini = broker_section(place.directory, place.url) if place.url else ""
    make_app(load(Suite(place.directory, ini).etc))
    server = redis.Redis.from_url(place.url) if place.url else None
    nothing(0)
    for call in CALLS.values():
        call(-1)  # connects, and has Redis know the scripts
    found: dict[str, Any] = {}
    for name, call in CALLS.items():
        cpu, wall, trips = [], [], 0
        for repeat in range(repeats):
            numbers = range(repeat * calls, (repeat + 1) * calls)
            before = _trips(server)
            bare = _timed(nothing, numbers)
            took = _timed(call, numbers)
            trips += _trips(server) - before
            cpu.append((took[0] - bare[0]) / calls * 1e6)
            wall.append((took[1] - bare[1]) / calls * 1e6)
        found[name] = {"cpu_us": round(median(cpu), 1), "wall_us": round(median(wall), 1)}
        if server is not None:
            # A renewal is a round trip, too: one each 1.5 s while a lock is held.
            found[name]["round_trips"] = round(trips / calls / repeats, 3)
    return found


def _trips(server: Any) -> int:
    if server is None:
        return 0
    stats = server.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in TRIPS)


def _timed(call: Callable[[int], int], numbers: range) -> tuple[float, float]:
    """Return the seconds of CPU, and of the clock, that the calls take."""
    cpu, wall = time.process_time(), time.perf_counter()
    for number in numbers:
        call(number)
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
