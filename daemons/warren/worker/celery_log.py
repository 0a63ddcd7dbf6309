"""Celery's own log lines.

Celery must not configure the log, and must not repeat what Warren says in one line for each task.
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
    # At the level debug this logger prints the arguments of tasks.
    logging.getLogger("celery.pool").setLevel(logging.INFO)
    logging.getLogger("celery.backends.base").addFilter(_is_news)
    # This logger writes two lines at each pause of a queue. A full quota pauses its queue many
    # times a second.
    logging.getLogger("celery.worker.consumer.consumer").setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether the line is news.

    Only a line about an attempt to store a result is not: Celery logs a traceback for each attempt,
    and result_storing.py logs one line for a row of attempts.
    """
    return not str(record.msg).startswith("Failed operation %s. Retrying")


def _keep_log(**_: Any) -> None:
    """Do nothing: a connected receiver is what keeps Celery from configuring logging."""
