"""A flood of messages that no worker can run, then a good task.

It measures rejected messages a second, the good task's wait, and CPU a message.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.bench import BROKERS, parser, place
from support.rejected_flood import Outcome, run


def main() -> None:
    """Runs one broker after the other."""
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=50_000, help="messages a broker (50,000)")
    chosen = options.parse_args()
    found = {}
    for broker in chosen.broker or BROKERS:
        found[broker] = each = measured(broker, chosen.messages)
        said = (
            f"{broker}: {each.rejected_s:.0f} rejected a second, the good task {each.good_s:.1f} s"
        )
        print(f"{said}, CPU {each.cpu_us:.0f} us a message", file=sys.stderr, flush=True)
    if chosen.json:
        print(
            json.dumps(
                {
                    "bench": "rejected",
                    "brokers": {broker: asdict(each) for broker, each in found.items()},
                }
            )
        )


def measured(broker: str, messages: int) -> Outcome:
    """One run in a directory of its own, with a broker of its own."""
    with place(broker, "rejected") as here:
        return run(*here, messages)


if __name__ == "__main__":
    main()
