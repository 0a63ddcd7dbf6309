"""The sample app: tasks as an author would write them, on Celery and the rooms that Warren offers to tasks."""

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
from warren.tasks.progress import progress

_MOST_ROWS = 1_000_000
_BROKEN_CONNECTION = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@shared_task(name="warren.demo.add")
def add(x: float, y: float) -> float:
    """The sum."""
    return x + y


@shared_task(name="warren.demo.multiply")
def multiply(x: float, y: float) -> float:
    """The product."""
    return x * y


@shared_task(bind=True, name="warren.demo.download", autoretry_for=_BROKEN_CONNECTION, max_retries=5, retry_backoff=1)
def download(self: Task[..., Any], url: str, filename: str) -> str:
    """Puts what the http or https `url` answers into the folder under `filename`; returns the path of the file.

    Raises ValueError for a name that is not a plain one, an address that is not public (but for that of the demo's own API), an
    answer above 1 GiB or longer than ten minutes; requests.HTTPError for a refusal.
    """
    demo = demo_settings.load(self.app)
    path = inside(demo.folder, filename)
    with answer(url, demo.reachable) as chunks:
        write_whole(path, chunks)
    return str(path)


@shared_task(bind=True, name="warren.demo.list")
def list_files(self: Task[..., Any]) -> list[dict[str, str | int]]:
    """Name and bytes of every whole file in the folder, by name."""
    return [{"name": path.name, "bytes": path.stat().st_size} for path in finished(demo_settings.load(self.app).folder)]


@shared_task(bind=True, name="warren.demo.report")
def report(self: Task[..., Any], rows: int) -> str:
    """Writes a CSV of the `rows` most frequent words (1 to 1,000,000) of the collected documents; returns its path."""
    if not 1 <= rows <= _MOST_ROWS:
        raise ValueError(f"rows: expected 1 to {_MOST_ROWS}, found {rows}")
    folder = demo_settings.load(self.app).folder
    # Named after the run: a second delivery of the same message writes the same file again.
    path = inside(folder, f"report-{self.request.id}.csv")
    documents = [document for document in finished(folder) if document.suffix == ".txt"]
    counted: Counter[str] = Counter()
    for done, document in enumerate(documents):
        progress(self, done, len(documents), document.name)
        word_report.count(document.read_text(encoding="utf-8", errors="replace"), counted)
    write_whole(path, word_report.csv_lines(word_report.ranked(counted, rows)))
    progress(self, len(documents), len(documents), path.name)
    return str(path)


@shared_task(
    bind=True, name="warren.demo.collect", autoretry_for=_BROKEN_CONNECTION, max_retries=None, retry_backoff=1,
    retry_backoff_max=60,
)  # fmt: skip
def collect(self: Task[..., Any], number: int) -> str:
    """Fetches document `number` (0 or more) from the API into the folder; returns the path of the file.

    A broken connection, a 429 and a 5xx are tried again until they end: the document is never given up.
    Delivered a second time, it finds its file and makes no call. Raises requests.HTTPError for any other refusal.
    """
    demo = demo_settings.load(self.app)
    path = inside(demo.folder, document_name(number))
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
    """Appends a line with its id and the time to `ticks.jsonl`: what a schedule entry can be seen by."""
    line = json.dumps({"task_id": self.request.id, "at": datetime.now(UTC).isoformat()}) + "\n"
    ticks = demo_settings.load(self.app).ticks
    handle = os.open(ticks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def document_name(number: int) -> str:
    """The file that document `number` is kept in."""
    return f"{number:05d}.txt"
