"""Requests to `warren web` by its own description and against it, and answers of 500 or more.

There must be none, and each answer must be as described.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.suite import Suite
from support.web_fuzz import Outcome, described_requests, fuzzed, raw_requests

_AT_ONCE = 500  # requests that are drawn from one seed


def main() -> None:
    """Sends all requests to one daemon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="requests (10,000)")
    parser.add_argument("--raw", type=int, default=2000, help="texts that are no HTTP (2,000)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    began, found = time.monotonic(), Outcome()
    with tempfile.TemporaryDirectory(prefix="warren-web-fuzz-") as directory:
        place, number = Path(directory), options.seed
        with fuzzed(Suite(place / "suite", "")) as web:
            while found.statuses.total() < options.requests:
                _add(found, described_requests(web, _AT_ONCE, number, place / "hypothesis"))
                number += 1
            raw = raw_requests(web, options.raw, options.seed)
    errors = found.server_errors + raw.server_errors
    wrong = found.wrong + raw.wrong
    print(
        f"{found.statuses.total()} requests and {options.raw} texts: {errors} answers of 500 or "
        f"more, {len(wrong)} not as described",
        *wrong[:3],
        sep="\n",
        file=sys.stderr,
    )
    if options.json:
        said = {"bench": "web-fuzz", "requests": found.statuses.total(), "raw": options.raw}
        said |= {"server_errors": errors, "not_as_described": len(wrong)}
        statuses = dict(sorted(found.statuses.items()))
        raw_statuses = dict(sorted(raw.statuses.items()))
        seconds = round(time.monotonic() - began, 1)
        print(json.dumps(said | {"statuses": statuses, "raw_statuses": raw_statuses, "s": seconds}))
    if errors or wrong:
        raise SystemExit(1)


def _add(found: Outcome, more: Outcome) -> None:
    found.statuses += more.statuses
    found.wrong += more.wrong


if __name__ == "__main__":
    main()
