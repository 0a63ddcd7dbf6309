"""A flood of tasks that are due in a day, then one that is due: when it runs, and how much the worker's memory grows."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.later_flood import Outcome, run
from support.servers import started

BROKERS = ("embedded", "redis", "rabbitmq", "rabbitmq-classic")


def main() -> None:
    """Runs one broker after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="messages a broker (20,000)")
    parser.add_argument("--broker", choices=BROKERS, action="append", help="this one alone; may be said several times")
    parser.add_argument("--due", type=float, default=86400.0, help="seconds until they are due (a day)")
    parser.add_argument("--own", action="store_true", help="sent by Warren's clients, not straight into the queue")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    found = {}
    for broker in options.broker or BROKERS:
        found[broker] = measured(broker, options.messages, not options.own, options.due)
        grown = (found[broker].most_kb - found[broker].before_kb) / 1024
        said = f"{broker}: the next task {found[broker].good_s:.1f} s, memory +{grown:.0f} MB"
        print(f"{said}, all taken {found[broker].aside_s:.1f} s after the first was sent", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"bench": "later", "brokers": {broker: asdict(each) for broker, each in found.items()}}))


def measured(broker: str, messages: int, foreign: bool, due: float) -> Outcome:
    """One run in a folder of its own, with a broker of its own."""
    with tempfile.TemporaryDirectory(prefix="warren-later-") as folder, ExitStack() as stack:
        url = started(broker, Path(folder), stack)
        return run(Path(folder), url, "classic" if broker.endswith("classic") else "auto", messages, foreign, due)


if __name__ == "__main__":
    main()
