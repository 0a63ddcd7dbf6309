"""Random histories of quotas whose limits are edited, and the calls beyond the limits.

The limits are those of the moment, and there must be no call beyond them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.progress import track

from support.histories import History


def main() -> None:
    """Plays each history."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000, help="histories (10,000)")
    parser.add_argument("--edits", type=int, default=30, help="edits of each (30)")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first history (0)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    began, admitted, over = time.process_time(), 0, dict[int, int]()
    seeds = range(options.seed, options.seed + options.histories)
    for seed in track(seeds, description="histories", disable=not sys.stderr.isatty()):
        played = History(seed).play(options.edits)
        admitted += played.admitted
        if played.excess:
            over[seed] = len(played.excess)
    said = {
        "bench": "edits",
        "histories": options.histories,
        "edits": options.edits,
        "calls": admitted,
    }
    said |= {
        "calls_over": sum(over.values()),
        "histories_over": sorted(over),
        "cpu_s": round(time.process_time() - began, 1),
    }
    print(
        f"{admitted} calls in {options.histories} histories, {said['calls_over']} beyond their "
        "terms",
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps(said))
    if over:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
