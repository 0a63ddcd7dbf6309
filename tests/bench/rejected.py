"""A flood of messages that nobody can run, then a good task: rejected a second, the good one's wait, CPU a message."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.rejected_flood import Outcome, run
from support.servers import started

BROKERS = ("embedded", "redis", "rabbitmq", "rabbitmq-classic")


def main() -> None:
    """Runs one broker after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000, help="messages a broker (50,000)")
    parser.add_argument("--broker", choices=BROKERS, action="append", help="this one alone; may be said several times")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    found = {}
    for broker in options.broker or BROKERS:
        found[broker] = each = measured(broker, options.messages)
        said = f"{broker}: {each.rejected_s:.0f} rejected a second, the good task {each.good_s:.1f} s"
        print(f"{said}, CPU {each.cpu_us:.0f} us a message", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"bench": "rejected", "brokers": {broker: asdict(each) for broker, each in found.items()}}))


def measured(broker: str, messages: int) -> Outcome:
    """One run in a folder of its own, with a broker of its own."""
    with tempfile.TemporaryDirectory(prefix="warren-rejected-") as folder, ExitStack() as stack:
        url = started(broker, Path(folder), stack)
        return run(Path(folder), url, "classic" if broker.endswith("classic") else "auto", messages)


if __name__ == "__main__":
    main()
