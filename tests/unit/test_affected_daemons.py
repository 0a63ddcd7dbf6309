"""Whom an edit concerns."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from warren.app.factory import make_app
from warren.config import Settings
from warren.config.affected_daemons import affects_sending, affects_watchdog, affects_worker
from warren.errors import ConfigError

Loaded = Callable[..., Settings]

QUOTA = "[queue:crawl]\ntasks = shop.crawl\n[quota:site]\nlimit = 9/h\ntasks = shop.crawl\n"
BASE = "[worker:a]\nqueues = default, crawl\n[worker:b]\n" + QUOTA
SCHEDULE = "[schedule:s]\ntask = shop.tidy\nevery = 1h\n"
OTHER = "[broker]\nurl = redis://h\n"
UNWATCHED = "[quota-watchdog]\nenabled = false\n"


@pytest.mark.parametrize(
    ("before", "after", "concerned"),
    [
        # nothing that a worker would do in another way
        (BASE, "# a line more\n" + BASE, ""),
        (BASE, BASE + SCHEDULE, ""),
        (BASE, BASE + "[health]\nqueue_warning = 7\n[supervise]\nheartbeat_timeout = 30s\n", ""),
        (BASE, BASE.replace("[worker:b]\n", "[worker:b]\nmax_memory = 1GB\n"), ""),
        # workers
        (BASE, BASE.replace("[worker:b]\n", "[worker:b]\nprefetch = 3\n"), "b"),
        (BASE, BASE + "[worker:c]\n", ""),
        (BASE + "[worker:c]\n", BASE, ""),
        # queues
        (BASE, BASE + "[worker:c]\nqueues = own\n[queue:own]\n", ""),
        (
            BASE,
            BASE.replace("[worker:b]\n", "[worker:b]\nqueues = default, own\n") + "[queue:own]\n",
            "b",
        ),
        (
            BASE,
            BASE + "[worker:c]\nqueues = own\n[queue:own]\ntasks = shop.own\n",
            "ab",
        ),  # shop.own goes elsewhere
        (OTHER + BASE, OTHER + BASE + "[queue:own]\n", "ab"),  # somebody must declare it
        (
            OTHER + BASE,
            OTHER + BASE + "[worker:c]\nenabled = false\nqueues = own\n[queue:own]\n",
            "ab",
        ),
        (
            BASE + "[worker:c]\nqueues = own\n[queue:own]\n",
            BASE,
            "ab",
        ),  # a task that names it must fail
        (BASE, BASE + "[queue:default]\nbinding_key = other\n", "ab"),
        # quotas
        (BASE, BASE.replace("9/h", "5/m"), ""),
        (BASE, BASE + "longest_call = 9s\n", ""),
        (BASE, BASE + "cost = 2\n", "ab"),
        (BASE, BASE + "[quota:two]\nlimit = 1/h\n", "ab"),
        (BASE, BASE.replace("limit = 9/h\ntasks = shop.crawl\n", "limit = 9/h\n"), "ab"),
        (
            UNWATCHED + BASE,
            UNWATCHED + BASE.replace("9/h", "5/m"),
            "ab",
        ),  # nobody else would change the ledger
        (BASE, UNWATCHED + BASE.replace("9/h", "5/m"), "ab"),
        # what all of them use
        (BASE, BASE + "[app]\ntimezone = Europe/Berlin\n", "ab"),
        (BASE, OTHER + BASE, "ab"),
        (BASE, BASE + "[results]\nexpires = 1h\n", "ab"),
        (BASE, BASE + "[log]\nlevel = debug\n", "ab"),
        (BASE, BASE + "[celery]\ntask_track_started = false\n", "ab"),
    ],
)
def test_workers(loaded: Loaded, before: str, after: str, concerned: str) -> None:
    """A worker starts again when it would do something else, when in doubt, and only then."""
    old, new = loaded(before), loaded(after)
    assert "".join(name for name in "ab" if affects_worker(old, new, name)) == concerned


@pytest.mark.parametrize(
    ("after", "sending", "watchdog"),
    [
        ("# a line more\n" + BASE, False, False),
        (BASE + "[worker:c]\n[supervise]\nheartbeat_timeout = 30s\n", False, False),
        (BASE + SCHEDULE, False, False),
        (BASE.replace("9/h", "5/m"), False, True),
        (BASE + "[health]\nqueue_warning = 7\n", False, True),
        (BASE + "[worker:c]\nqueues = own\n[queue:own]\n", False, True),
        (BASE + "[worker:c]\nqueues = own\n[queue:own]\ntasks = shop.own\n", True, True),
        (OTHER + BASE, True, True),
    ],
)
def test_beat_and_watchdog(loaded: Loaded, after: str, sending: bool, watchdog: bool) -> None:
    """Beat keeps its leadership, and the watchdog its status, over an edit of other sections."""
    old, new = loaded(BASE), loaded(after)
    assert (affects_sending(old, new), affects_watchdog(old, new)) == (sending, watchdog)


def test_a_queue_that_was_added_since(loaded: Loaded) -> None:
    """A process older than a queue can send to it by its name.

    A queue that is nowhere, or in a wrong file, is unknown.
    """
    queues = make_app(loaded(BASE)).amqp.queues
    loaded(BASE + "[worker:c]\nqueues = own\n[queue:own]\nbinding_key = own.key\n")
    assert queues["own"].routing_key == "own.key"
    assert "own" not in queues.consume_from
    with pytest.raises(KeyError):
        queues["none"]
    with pytest.raises(ConfigError):
        loaded("[queue:late]\nnonsense = 1\n")
    with pytest.raises(KeyError):
        queues["late"]


def test_a_call_may_name_its_queue(loaded: Loaded) -> None:
    """A call that names a queue sends the task there, by that queue's own key.

    Another task goes to its own queue.
    """
    router = make_app(loaded(BASE)).amqp.router
    for task, options, expected in (
        ("shop.crawl", {}, ("crawl", "crawl")),
        ("shop.tidy", {}, ("default", "default")),
        ("shop.tidy", {"queue": "crawl"}, ("crawl", "crawl")),
        ("shop.crawl", {"queue": "default"}, ("default", "default")),
    ):
        found = router.route(dict(options), task)
        assert (
            found["queue"].name,
            found.get("routing_key", found["queue"].routing_key),
        ) == expected
