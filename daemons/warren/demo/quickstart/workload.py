"""The client of the running suite: submits work, watches it, and reads its results."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import requests
from celery import Celery, group

from warren.demo.api_calls import session
from warren.demo.demo_settings import DemoSettings
from warren.demo.quickstart import figures
from warren.demo.quickstart.figures import BATCH
from warren.demo.quickstart.scratch import LIMIT
from warren.demo.tasks import document_name
from warren.tasks.follow import Progress, follow

_PAUSE = 0.1  # seconds between two reads
_ROWS = 100  # the number of the report's rows


def submit(app: Celery, documents: int) -> None:
    """Send the tasks that collect so many documents, over one connection."""
    with app.producer_or_acquire() as producer:
        for number in range(documents):
            app.send_task(
                "warren.demo.collect", args=[number], producer=producer, ignore_result=True
            )


def batch(app: Celery, timeout: float) -> list[int]:
    """Run the batch and return its sums in their order.

    Raises celery.exceptions.TimeoutError after `timeout` seconds.
    """
    sums = group(app.signature("warren.demo.add", args=list(pair)) for pair in BATCH)
    found: list[int] = sums.apply_async().get(timeout=timeout, interval=_PAUSE)
    return found


def collected(demo: DemoSettings, documents: int) -> int:
    """Return how many of the documents are in the directory."""
    names = {path.name for path in demo.directory.iterdir()} if demo.directory.is_dir() else set()
    return sum(document_name(number) in names for number in range(documents))


def ticks(demo: DemoSettings) -> int:
    """Return how often the schedule entry's task has run."""
    if not demo.ticks.exists():
        return 0
    with demo.ticks.open(encoding="utf-8") as lines:
        return figures.ticks(lines)


def watch(demo: DemoSettings, documents: int, timeout: float) -> Iterator[tuple[int, int]]:
    """Yield the numbers of documents and ticks so far, again and again.

    Ends when all documents and a tick are there, or nothing new has come for `timeout` seconds.
    """
    seen, since = (-1, -1), time.monotonic()
    while True:
        now = collected(demo, documents), ticks(demo)
        if now != seen:
            seen, since = now, time.monotonic()
        yield now
        if (now[0] == documents and now[1] > 0) or time.monotonic() > since + timeout:
            return
        time.sleep(_PAUSE)


def report(app: Celery, timeout: float) -> Iterator[Progress | str]:
    """Run the report; yield its progress, and at the end the path of its file."""
    result = app.send_task("warren.demo.report", args=[_ROWS])
    for told in follow(result, timeout):
        if not told.ended:
            yield told
    yield str(result.get(timeout=1))


def lost(demo: DemoSettings, documents: int) -> int:
    """Return how many documents are missing, or differ from the API's catalogue."""
    headers = {"Authorization": f"Bearer {demo.key}"}
    catalogue = session().get(f"{demo.api}/documents", headers=headers, timeout=30).json()
    return sum(not _whole(demo, entry) for entry in catalogue[:documents])


def _whole(demo: DemoSettings, entry: dict[str, Any]) -> bool:
    path = demo.directory / document_name(entry["number"])
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]


def what_the_api_saw(demo: DemoSettings) -> dict[str, Any]:
    """Return the summary of the API's record, see `warren.demo.call_record.Summary`.

    Raises requests.RequestException.
    """
    response: requests.Response = session().get(f"{demo.api}/record", timeout=30)
    summary: dict[str, Any] = json.loads(response.content)
    return summary


def timeout() -> float:
    """Return the seconds without a new document after which no more documents will come.

    These are two windows, and time for a restart between them.
    """
    return 2 * LIMIT.seconds + 40.0
