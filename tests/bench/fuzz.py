"""Fuzzed messages by the ten thousand, on each broker.

It counts worker ends, calls without a slot, and rejected messages without a line.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.bench import BROKERS, parser, place
from support.fuzz_run import LIMIT, Outcome, run


def main() -> None:
    """Runs them one broker after the other; ends with 1 when a promise broke."""
    options = parser(__doc__)
    options.add_argument(
        "--messages", type=int, default=100_000, help="messages a broker (100,000)"
    )
    options.add_argument("--seed", type=int, default=1, help="of the dice (1)")
    chosen = options.parse_args()
    found = {
        broker: measured(broker, chosen.messages, chosen.seed)
        for broker in chosen.broker or BROKERS
    }
    said = {broker: {**asdict(outcome), **promises(outcome)} for broker, outcome in found.items()}
    if chosen.json:
        print(
            json.dumps(
                {"bench": "fuzz", "messages": chosen.messages, "seed": chosen.seed, "brokers": said}
            )
        )
    sys.exit(any(value for outcome in found.values() for value in promises(outcome).values()))


def measured(broker: str, messages: int, seed: int) -> Outcome:
    """One run in a directory of its own, with a broker of its own."""
    with place(broker, "fuzz") as here:
        return run(
            here.directory,
            broker,
            here.url,
            messages,
            seed,
            lambda text: print(text, file=sys.stderr, flush=True),
        )


def promises(found: Outcome) -> dict[str, int]:
    """What must be 0."""
    return {
        "worker_ends": found.worker_ends,
        "calls_without_a_slot": max(0, found.calls - found.admitted)
        + max(0, found.worst_window - LIMIT),
        "without_a_line": found.sent - found.rejected - found.ended,
    }


if __name__ == "__main__":
    main()
