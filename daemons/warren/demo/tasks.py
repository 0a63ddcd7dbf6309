"""The sample app: tasks as an author writes them, with Celery and Warren's interface for tasks."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import requests
from celery import Task, shared_task

from warren.demo import demo_settings, word_report
from warren.demo.api_calls import fetch, retry_in
from warren.demo.document_files import finished, inside, write_whole
from warren.demo.download import answer
from warren.tasks.progress import report_progress

_MOST_ROWS = 1_000_000
_BROKEN_CONNECTION = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


@shared_task(name="warren.demo.add")
def add(x: float, y: float) -> float:
    """Return the sum."""
    return x + y


@shared_task(name="warren.demo.multiply")
def multiply(x: float, y: float) -> float:
    """Return the product."""
    return x * y


@shared_task(
    bind=True,
    name="warren.demo.download",
    autoretry_for=_BROKEN_CONNECTION,
    max_retries=5,
    retry_backoff=1,
)
def download(self: Task[..., Any], url: str, filename: str) -> str:
    """Save the answer of the http or https `url` in the directory under `filename`.

    Returns the path of the file. Raises ValueError for a name that is not plain, for an address
    that is not public (except for that of the demo's own API), and for an answer above 1 GiB or
    longer than ten minutes. Raises requests.HTTPError for a refusal.
    """
    demo = demo_settings.load(self.app)
    path = inside(demo.directory, filename)
    with answer(url, demo.reachable) as chunks:
        write_whole(path, chunks)
    return str(path)


@shared_task(bind=True, name="warren.demo.list")
def list_files(self: Task[..., Any]) -> list[dict[str, str | int]]:
    """Return name and bytes of every complete file in the directory, ordered by name."""
    return [
        {"name": path.name, "bytes": path.stat().st_size}
        for path in finished(demo_settings.load(self.app).directory)
    ]


@shared_task(bind=True, name="warren.demo.report")
def report(self: Task[..., Any], rows: int) -> str:
    """Write a CSV of the `rows` most frequent words of the collected documents; return its path.

    `rows` is 1 to 1,000,000; for any other number raises ValueError.
    """
    if not 1 <= rows <= _MOST_ROWS:
        raise ValueError(f"rows: expected 1 to {_MOST_ROWS}, found {rows}")
    directory = demo_settings.load(self.app).directory
    # The name is the task's id, so a second delivery of the message writes the same file again.
    path = inside(directory, f"report-{self.request.id}.csv")
    documents = [document for document in finished(directory) if document.suffix == ".txt"]
    counted: Counter[str] = Counter()
    for done, document in enumerate(documents):
        report_progress(done, len(documents), document.name)
        word_report.count(document.read_text(encoding="utf-8", errors="replace"), counted)
    write_whole(path, word_report.csv_lines(word_report.ranked(counted, rows)))
    report_progress(len(documents), len(documents), path.name)
    return str(path)


@shared_task(
    bind=True, name="warren.demo.collect", autoretry_for=_BROKEN_CONNECTION, max_retries=None,
    retry_backoff=1, retry_backoff_max=60,
)  # fmt: skip
def collect(self: Task[..., Any], number: int) -> str:
    """Fetch document `number` (0 or more) from the API into the directory; return the file's path.

    After a broken connection, a 429 or a 5xx the task is tried again without end, so no document is
    abandoned. A second delivery of the task finds the file and makes no call. Raises
    requests.HTTPError for any other refusal.
    """
    demo = demo_settings.load(self.app)
    path = inside(demo.directory, document_name(number))
    if path.exists():
        return str(path)
    response = fetch(demo, number)
    wait = retry_in(response.status_code, response.headers)
    if wait is not None:
        raise self.retry(countdown=wait)
    response.raise_for_status()
    write_whole(path, [response.content])
    return str(path)


@shared_task(bind=True, name="warren.demo.tick")
def tick(self: Task[..., Any]) -> None:
    """Append a line with the task's id and the time to `ticks.jsonl`, which shows that it ran."""
    line = json.dumps({"task_id": self.request.id, "at": datetime.now(UTC).isoformat()}) + "\n"
    ticks = demo_settings.load(self.app).ticks
    handle = os.open(ticks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def document_name(number: int) -> str:
    """Return the name of the file of document `number`."""
    return f"{number:05d}.txt"
