"""Celery's own log lines: it must not touch the log, and says in its own words what Warren says in
one line a task.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import signals


def quieten() -> None:
    """Keep Celery from configuring the log, and from saying what Warren says in one line."""
    signals.setup_logging.connect(_keep_log, weak=False)
    for name in ("celery.app.trace", "celery.worker.strategy", "celery.worker.request"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # at debug it recites the arguments of tasks
    logging.getLogger("celery.pool").setLevel(logging.INFO)
    logging.getLogger("celery.backends.base").addFilter(_is_news)
    # Two lines at each pause of a queue; a full quota pauses many times a second.
    logging.getLogger("celery.worker.consumer.consumer").setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line is none of a trial to store a result: Celery has a traceback for each
    (result_storing.py says it once).
    """
    return not str(record.msg).startswith("Failed operation %s. Retrying")


def _keep_log(**_: Any) -> None:
    """Being connected is what keeps Celery from configuring logging."""
