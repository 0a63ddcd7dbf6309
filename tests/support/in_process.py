"""A Celery worker in a thread of the test's own process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from celery.contrib.testing.worker import start_worker

from support.wait import TIMEOUT


@contextmanager
def working(app: Celery) -> Iterator[None]:
    """A worker of this app, one task at a time.

    Behind it the log is as before: Celery sets up that of the whole process.
    """
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        with start_worker(
            app, perform_ping_check=False, pool="solo", loglevel="ERROR", shutdown_timeout=TIMEOUT
        ):
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
