"""A flood of tasks that are due in a day, then one that is due now.

It measures when that one runs, and how much the worker's memory grows.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.bench import BROKERS, parser, place
from support.later_flood import Outcome, run


def main() -> None:
    """Runs one broker after the other."""
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=20_000, help="messages a broker (20,000)")
    options.add_argument(
        "--due", type=float, default=86400.0, help="seconds until they are due (a day)"
    )
    options.add_argument(
        "--own", action="store_true", help="sent by Warren's clients, not straight into the queue"
    )
    chosen = options.parse_args()
    found = {}
    for broker in chosen.broker or BROKERS:
        found[broker] = measured(broker, chosen.messages, not chosen.own, chosen.due)
        grown = (found[broker].most_kb - found[broker].before_kb) / 1024
        said = f"{broker}: the next task {found[broker].good_s:.1f} s, memory +{grown:.0f} MB"
        print(
            f"{said}, all taken {found[broker].aside_s:.1f} s after the first was sent",
            file=sys.stderr,
            flush=True,
        )
    if chosen.json:
        print(
            json.dumps(
                {
                    "bench": "later",
                    "brokers": {broker: asdict(each) for broker, each in found.items()},
                }
            )
        )


def measured(broker: str, messages: int, foreign: bool, due: float) -> Outcome:
    """One run in a directory of its own, with a broker of its own."""
    with place(broker, "later") as here:
        return run(*here, messages, foreign, due)


if __name__ == "__main__":
    main()
