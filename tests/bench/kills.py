"""Workers and Redis (appendfsync always) killed again and again while tasks are sent: lost, run again, left behind."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.kills import Run


def main() -> None:
    """Runs it once."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=20_000, help="tasks (20,000)")
    options.add_argument("--kills", type=int, default=100, help="kill -9 of workers (100)")
    options.add_argument("--server-kills", type=int, default=10, help="kill -9 of Redis (10)")
    options.add_argument("--seed", type=int, default=1, help="the moments of the kills follow from it (1)")
    options.add_argument("--json", action="store_true", help="one JSON object as the last line")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="warren-kills-") as folder:
        found = Run(Path(folder), chosen.tasks, chosen.kills, chosen.server_kills, chosen.seed)()
    said = f"{found.sent} tasks, {len(found.lost)} lost, {found.again} run again, {found.restored} given back"
    print(f"{said}, left {found.left}, {found.seconds:.0f} s", file=sys.stderr, flush=True)
    if chosen.json:
        print(json.dumps({"bench": "kills", **asdict(found)}))


if __name__ == "__main__":
    main()
