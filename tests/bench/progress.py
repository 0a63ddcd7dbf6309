"""The CPU time that `warren.progress` adds to each step of a loop in a task."""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median
from typing import Any

from celery import Celery, Task

from warren import progress


def main() -> None:
    """Runs the bare loop and the reported loop in turns, within one task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="steps of a loop (1000000)")
    parser.add_argument("--repeats", type=int, default=9, help="loops of each kind (9)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    app = Celery("bench", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_store_eager_result = True

    @app.task(bind=True, shared=False)
    def work(self: Task[..., Any]) -> tuple[list[float], list[float]]:
        bare, reported = [], []
        for _ in range(options.repeats):
            bare.append(_cpu(range(options.steps)))
            reported.append(_cpu(progress(range(options.steps))))
        return bare, reported

    bare, reported = work.apply(throw=True).get()
    added = [(b - a) / options.steps * 1e6 for a, b in zip(bare, reported, strict=True)]
    print(
        f"a step: {median(added):.3f} us more than in the bare loop "
        f"({min(added):.3f} to {max(added):.3f}, {options.repeats} repeats)",
        file=sys.stderr,
    )
    if options.json:
        figures = {"median": round(median(added), 4), "min": round(min(added), 4)}
        print(
            json.dumps(
                {
                    "bench": "progress",
                    "unit": "us of CPU a step, above the bare loop",
                    "steps": options.steps,
                    "repeats": options.repeats,
                    **figures,
                    "max": round(max(added), 4),
                    "bare_us": round(median(bare) / options.steps * 1e6, 4),
                }
            )
        )


def _cpu(steps: Any) -> float:
    """Return the seconds of CPU that an empty loop over the steps takes."""
    began = time.process_time()
    for _ in steps:
        pass
    return time.process_time() - began


if __name__ == "__main__":
    main()
