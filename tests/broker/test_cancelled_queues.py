"""A queue that remote control has cancelled is left alone, on every broker.

The worker consumes it again when it is told so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.brokers import KINDS, own_section
from support.suite import Suite
from support.wait import let_pass, result_of, until
from warren.app.factory import make_app
from warren.config import load

INI = "[queue:side]\n[worker:a]\nqueues = default, side\nconcurrency = 2\nremote_control = true\n"


@pytest.fixture(params=KINDS)
def suite(request: pytest.FixtureRequest, scratch: Path) -> Suite:
    """A worker on a broker of the test's own."""
    made = Suite(scratch, own_section(request, scratch, 11) + INI, modules="jobs")
    made.module(
        "jobs",
        "from celery import shared_task\n@shared_task(name='jobs.add')\ndef add(a, b):\n    "
        "return a + b\n",
    )
    return made


def answer(ask: Callable[..., Any], *arguments: str) -> str:
    """Return what the worker says to a command."""
    # load: it is asked again
    [said] = until(lambda: ask(*arguments, reply=True, timeout=2), what="an answer")
    [(kind, text)] = next(iter(said.values())).items()
    return f"{kind}: {text}"


def heartbeat(suite: Suite, **wanted: list[str]) -> None:
    """Wait for a heartbeat that says this of the worker's queues."""

    def said() -> dict[str, Any]:
        details: dict[str, Any] = (suite.heartbeat("worker-a") or {"details": {}})["details"]
        return {name: details.get(name) for name in wanted}

    until(lambda: said() == wanted, what=f"a heartbeat with {wanted}")


def test_a_cancelled_queue_is_left_alone_until_somebody_adds_it(suite: Suite) -> None:
    """The heartbeat and the log say so; only queues of the worker's own may be named."""
    app = make_app(load(suite.etc))
    with suite.running("worker", "a"):
        suite.await_event("worker", "ready")
        for ask in (app.control.cancel_consumer, app.control.add_consumer):
            assert (
                "error: expected a queue of this worker (default, side), found 'other'"
                in answer(ask, "other")
            )
        assert answer(app.control.cancel_consumer, "side").startswith("ok")
        assert answer(app.control.cancel_consumer, "side").startswith("ok")
        heartbeat(suite, queues=["default"], cancelled=["side"])
        waiting = app.send_task("jobs.add", [1, 2], queue="side")
        for number in range(5):
            assert result_of(app.send_task("jobs.add", [number, 1])) == number + 1
        let_pass(2)  # in which the queue may not be taken up
        assert not suite.logged("worker", "task_started", task_id=waiting.id)
        assert answer(app.control.add_consumer, "side").startswith("ok")
        assert result_of(waiting) == 3
        heartbeat(suite, queues=["default", "side"], cancelled=[])
        assert [
            len(suite.logged("worker", event, queue="side"))
            for event in ("queue_cancelled", "queue_resumed")
        ] == [1, 1]
