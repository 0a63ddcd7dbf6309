"""A beat that leads within this process, on the embedded broker, by a clock that the test holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

from support.suite import Suite
from warren.app.factory import import_tasks, make_app
from warren.beat import schedule, sender
from warren.beat.leader.leader_interface import leader
from warren.beat.sender import Sender
from warren.config import load
from warren.logs.setup import configure


def leading(
    suite: Suite, now: Callable[[], float], monotonic: Callable[[], float] = time.monotonic
) -> Sender:
    """A beat that takes the leadership, and continues where the last one was.

    Belongs in a forked process: it logs as beat.
    """
    for module in (sender, schedule):
        setattr(module, "time", SimpleNamespace(time=now, monotonic=monotonic))  # noqa: B010
    settings = load(suite.etc)
    configure("beat", "beat", "here", suite.directory / "log")
    app = make_app(settings)
    import_tasks(app, settings)
    leads = leader(settings, app)
    assert leads.lead()
    beat = Sender(settings, app, leads, {})
    beat.begin(leads.recall())
    return beat
