"""One run of fuzzed messages against one worker.

It has what was sent, what became of it, and whether the worker is the same.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from support.calls import NOTING, calls
from support.foul_senders import DirectorySender, RabbitMQSender, RedisSender
from support.fuzz import corpus, mutations
from support.suite import Suite, broker_section
from support.wait import until
from warren.app.factory import make_app
from warren.config import load
from warren.quotas.ledgers import Ledgers

JOBS = (
    NOTING
    + """
from celery import shared_task

PATH = {path!r}

@shared_task(name="jobs.add")
def add(a, b):
    return a + b

@shared_task(name="jobs.call")
def call(*args):
    note(PATH)
"""
)
LIMIT, WINDOW = 20, 1.0
INI = """
largest_message = 1MiB
unknown_task_timeout = 0
queue_type = {kind}
[queue:calls]
tasks = jobs.call
[worker:a]
queues = default, calls
concurrency = 2
prefetch = 16
[quota:provider]
limit = 20/s
longest_call = 1s
tasks = jobs.call
"""
#: Messages between two good ones, and seconds that a good one may take on a machine that is busy.
CHUNK, TIMEOUT = 500, 300.0


@dataclass
class Outcome:
    """What became of a run."""

    sent: int = 0
    rejected: int = 0
    ended: int = 0
    calls: int = 0
    admitted: int = 0
    worst_window: int = 0
    worker_ends: int = 0
    slowest_good_s: float = 0.0
    took_s: float = 0.0


def run(
    directory: Path,
    broker: str,
    url: str,
    messages: int,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Send the corpus and `messages` mutations to a worker on that broker.

    The broker is "rabbitmq", "redis" or "embedded".
    """
    kind = "classic" if broker == "rabbitmq-classic" else "auto"
    section = broker_section(directory, url) if url else "[broker]\n"
    suite = Suite(directory, section + INI.format(kind=kind), modules="jobs")
    path = directory / "calls"
    suite.module("jobs", JOBS.replace("{path!r}", repr(str(path))))
    app, found, begun = make_app(load(suite.etc)), Outcome(), time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(_room_for_recursion())
        worker = stack.enter_context(suite.running("worker", "a"))
        suite.await_event("worker", "ready", TIMEOUT)
        good(app, found)
        sender = _sender(broker, url, suite, seed)
        fouls = mutations(seed, f"{broker}-{seed}")
        found.sent += sender.send(corpus())
        if isinstance(sender, DirectorySender):
            found.sent += sender.plant()
        good(app, found)
        for done in range(0, messages, CHUNK):
            found.sent += sender.send(islice(fouls, min(CHUNK, messages - done)))
            good(app, found)
            say(
                f"{broker}: {done + CHUNK} of {messages}, the good message took at most "
                f"{found.slowest_good_s:.1f} s"
            )
            if worker.poll() is not None:
                found.worker_ends += 1
                break
        until(
            lambda: sender.left() == 0 or worker.poll() is not None,
            TIMEOUT,
            f"all taken, of {found.sent}",
        )
        good(app, found)
        _settled(suite, found)
        found.worker_ends += (
            worker.poll() is not None
            or (suite.heartbeat("worker-a") or {}).get("pid") != worker.pid
        )
    noted = calls(path)
    found.calls, found.worst_window = len(noted), _worst(noted)
    found.admitted = Ledgers(load(suite.etc))["provider"].counts().admitted
    found.took_s = time.monotonic() - begun
    app.close()
    return found


@contextmanager
def _room_for_recursion() -> Iterator[None]:
    """The sender writes what the worker cannot read."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def good(app: Any, found: Outcome) -> None:
    """A good message, whose answer the worker has to give."""
    begun = time.monotonic()
    assert app.send_task("jobs.add", [1, 2]).get(timeout=TIMEOUT) == 3
    found.sent += 1
    found.slowest_good_s = max(found.slowest_good_s, time.monotonic() - begun)


def _settled(suite: Suite, found: Outcome) -> None:
    """Wait until each message has a line in the log that says what became of it."""

    def counted() -> bool:
        lines = Counter(line["event"] for line in suite.log("worker"))
        found.rejected = lines["message_rejected"]
        found.ended = lines["task_succeeded"] + lines["task_failed"]
        return found.rejected + found.ended >= found.sent

    try:
        until(counted, TIMEOUT, "a line for each message", every=1)  # the log is long
    except AssertionError as error:
        raise AssertionError(f"{error}; {found}") from None


def _worst(times: list[float]) -> int:
    """The most calls in any window; there may be many."""
    return max(
        (bisect_left(times, start + WINDOW) - number for number, start in enumerate(times)),
        default=0,
    )


def _sender(broker: str, url: str, suite: Suite, seed: int) -> Any:
    if broker.startswith("rabbitmq"):
        return RabbitMQSender(url)
    return (
        RedisSender(url, seed)
        if broker == "redis"
        else DirectorySender(suite.directory / "state" / "broker", seed)
    )
