"""A flood of messages that are due much later, then a task that is due at once.

It measures when that task ran, and the worker's memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import amqp
from redis import Redis

from support.calls import calls
from support.sample import SAMPLE
from support.suite import Suite, broker_section
from support.wait import until
from warren.app.factory import make_app
from warren.broker.embedded.file_names import message_name
from warren.config import load

INI = """
queue_type = {kind}
[queue:calls]
tasks = jobs.call
[worker:a]
queues = default, calls
[quota:provider]
limit = 20/s
tasks = jobs.call
"""
TIMEOUT = 600.0


@dataclass
class Outcome:
    """What a flood came to."""

    messages: int
    before_kb: int = 0
    most_kb: int = 0
    good_s: float = 0.0
    aside_s: float = 0.0


def make(directory: Path, url: str, kind: str = "auto") -> Suite:
    """Run a worker of a queue under a quota and one without, on the broker of this URL.

    Without a URL it is the embedded broker.
    """
    suite = Suite(
        directory,
        (broker_section(directory, url) if url else "[broker]\n") + INI.format(kind=kind),
        modules="jobs",
    )
    suite.module("jobs", SAMPLE)
    return suite


def run(
    directory: Path, url: str, kind: str, messages: int, foreign: bool = True, due: float = 86400.0
) -> Outcome:
    """Send all tasks, due in so many seconds, and then one that is due.

    `foreign`: as a client that is not Warren's.
    """
    suite, found, path = make(directory, url, kind), Outcome(messages), directory / "calls"
    app = make_app(load(suite.etc))
    with suite.running("worker", "a") as worker:
        suite.await_event("worker", "ready", TIMEOUT)
        app.send_task("jobs.note", [str(path)], ignore_result=True)
        until(lambda: len(calls(path)) == 1, TIMEOUT, "a first task")
        found.before_kb = memory(worker.pid)
        begun = time.monotonic()
        if foreign:
            send(suite, url, messages, lambda: due, str(directory / "late"))
        else:
            for _ in range(messages):
                app.send_task(
                    "jobs.note", [str(directory / "late")], countdown=due, ignore_result=True
                )
        sent = time.monotonic()
        app.send_task("jobs.note", [str(path)], ignore_result=True)

        def ran() -> bool:
            found.most_kb = max(found.most_kb, memory(worker.pid))
            return len(calls(path)) == 2

        until(ran, TIMEOUT, "the next good task", every=0.05)
        found.good_s = time.monotonic() - sent
        with suppress(AssertionError):
            until(lambda: taken(suite) >= (messages if foreign else 1), what="all taken")
        found.aside_s = time.monotonic() - begun
        found.most_kb = max(found.most_kb, memory(worker.pid))
    app.close()
    return found


def taken(suite: Suite) -> int:
    """How many messages the worker has looked at."""
    return int((suite.heartbeat("worker-a") or {"details": {}})["details"].get("taken", 0))


def memory(pid: int) -> int:
    """The resident memory of a process in kB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def send(
    suite: Suite,
    url: str,
    messages: int,
    due_in: Callable[[], float],
    path: str,
    task: str = "jobs.note",
    **headers: Any,
) -> list[str]:
    """Send messages with an ETA straight into the queue, and return their ids.

    No client of Warren's would do so.
    """
    queue = "calls" if task == "jobs.call" else "default"
    made = [_message(due_in(), path, task) for _ in range(messages)]
    for message in made:
        message["headers"].update(headers)
    put(suite, url, queue, made)
    return [message["headers"]["id"] for message in made]


def put(suite: Suite, url: str, queue: str, made: list[dict[str, Any]]) -> None:
    """Put messages straight into the queue, past every client of Warren.

    Each has `headers` with an `id`, and a `body`.
    """
    if not url:
        directory = suite.directory / "state" / "broker" / "queues" / queue
        for message in made:
            temp = directory / f".{message['headers']['id']}"
            temp.write_text(json.dumps(_virtual(message, queue)), encoding="utf-8")
            temp.rename(directory / message_name())
    elif url.startswith("redis"):
        pipe: Any = Redis.from_url(url).pipeline()
        for message in made:
            pipe.lpush(queue, json.dumps(_virtual(message, queue)))
        pipe.execute()
    else:
        _publish(url, queue, made)


def _message(seconds: float, path: str, task: str) -> dict[str, Any]:
    task_id, eta = str(uuid4()), datetime.now(UTC) + timedelta(seconds=seconds)
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    headers = {
        "lang": "py", "task": task, "id": task_id, "root_id": task_id, "parent_id": None,
        "group": None,
        "eta": eta.isoformat(), "expires": None, "retries": 0, "timelimit": [None, None],
        "ignore_result": True,
        "argsrepr": "", "kwargsrepr": "", "origin": "a test", "warren_sent_at": time.time(),
    }  # fmt: skip
    return {"body": json.dumps([[path], {}, embed]), "headers": headers}


def _virtual(message: dict[str, Any], queue: str) -> dict[str, Any]:
    task_id = message["headers"]["id"]
    properties = {
        "correlation_id": task_id, "delivery_mode": 2, "priority": 0, "delivery_tag": task_id,
        "delivery_info": {"exchange": "warren", "routing_key": queue},
    }  # fmt: skip
    return {
        **message,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "properties": properties,
    }


def _publish(url: str, queue: str, made: list[dict[str, Any]]) -> None:
    parts = urlsplit(url)
    vhost = unquote(parts.path[1:]) or "/"
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}", parts.username, parts.password, virtual_host=vhost
    ) as connection:
        channel = connection.channel()
        channel.confirm_select()
        for message in made:
            body = amqp.Message(
                message["body"], content_type="application/json", content_encoding="utf-8",
                delivery_mode=2,
                correlation_id=message["headers"]["id"], application_headers=message["headers"],
            )  # fmt: skip
            channel.basic_publish(body, exchange="warren", routing_key=queue)
        channel.queue_declare(queue, passive=True)  # all of them are there when this is answered
