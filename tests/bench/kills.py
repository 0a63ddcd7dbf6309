"""Workers and their broker killed again and again while tasks are sent.

It counts tasks that are lost, run again or left behind.

Redis writes its file at each command (appendfsync always); RabbitMQ's queues are durable.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.kills import Run


def main() -> None:
    """Runs it once."""
    options = argparse.ArgumentParser(description=__doc__)
    brokers = ("redis", "rabbitmq", "rabbitmq-classic")
    options.add_argument(
        "--broker",
        choices=brokers,
        default="redis",
        help="the broker; rabbitmq has quorum queues (redis)",
    )
    options.add_argument("--tasks", type=int, default=20_000, help="tasks (20,000)")
    options.add_argument("--kills", type=int, default=100, help="kill -9 of workers (100)")
    options.add_argument("--server-kills", type=int, default=10, help="kill -9 of the broker (10)")
    options.add_argument(
        "--seed", type=int, default=1, help="the moments of the kills follow from it (1)"
    )
    options.add_argument("--json", action="store_true", help="one JSON object as the last line")
    chosen = options.parse_args()
    say = partial(print, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="warren-kills-") as directory:
        found = Run(
            Path(directory),
            chosen.tasks,
            chosen.kills,
            chosen.server_kills,
            chosen.seed,
            chosen.broker,
            say,
        )()
    say(
        f"{found.broker}: {found.sent} tasks, {len(found.lost)} lost, {found.again} run again, "
        f"left {found.left}"
    )
    kills = f"{found.kills} kills of workers, {found.server_kills} of the broker"
    say(f"{kills}, {found.restored} given back, {found.seconds:.0f} s")
    if chosen.json:
        print(json.dumps({"bench": "kills", **asdict(found)}))


if __name__ == "__main__":
    main()
