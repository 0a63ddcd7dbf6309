"""What the benches that run on each broker share.

They share the options, and a broker and a directory of their own for each run.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from support.servers import started

BROKERS = ("embedded", "redis", "rabbitmq", "rabbitmq-classic")


class Place(NamedTuple):
    """A directory, the URL of a broker, and the type of its queues as the settings have it.

    The URL is empty for the embedded broker.
    """

    directory: Path
    url: str
    queues: str


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of the options that each of them has."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument(
        "--broker",
        choices=BROKERS,
        action="append",
        help="this one alone; may be said several times",
    )
    found.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return found


@contextmanager
def place(broker: str, bench: str) -> Iterator[Place]:
    """A place for one run, gone behind it."""
    with tempfile.TemporaryDirectory(prefix=f"warren-{bench}-") as directory, ExitStack() as stack:
        url = started(broker, Path(directory), stack)
        yield Place(Path(directory), url, "classic" if broker.endswith("classic") else "auto")
