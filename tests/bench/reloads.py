"""A quota that is edited and reloaded while its daemons are killed, stopped and frozen.

It counts the calls beyond its limit: there must be none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.bench import parser, place
from support.edited_run import EditedRun
from support.suite import broker_section


def main() -> None:
    """Runs it once on each broker."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=3600.0, help="how long (3600)")
    options.add_argument(
        "--seed", type=int, default=1, help="what is edited, and who is hit, follows from it (1)"
    )
    chosen = options.parse_args()
    found, wrong = {}, False
    for broker in chosen.broker or ("embedded",):
        with place(broker, "reloads") as (directory, url, queues):
            section = broker_section(directory, url) if url else "[broker]\n"
            run = EditedRun(directory, f"{section}queue_type = {queues}\n", chosen.seed)(
                chosen.seconds
            )
        verdict = run.verdict
        found[broker] = {
            "seconds": round(run.seconds),
            "calls": verdict.calls,
            "judged_by_one_text": verdict.judged,
            "calls_over": len(verdict.over),
            "fullest": verdict.fullest,
            "reloads": run.reloads,
            "faults": run.faults,
            "errors": run.errors,
        }
        wrong |= bool(verdict.over or run.errors)
        print(f"{broker}: {found[broker]}; over: {verdict.over[:10]}", file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps({"bench": "reloads", "seed": chosen.seed, "brokers": found}))
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
