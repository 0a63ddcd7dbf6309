"""A connection to the broker for a command: there at once, or a clear word why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from warren.config.masking import masked_url
from warren.errors import Unavailable


@contextmanager
def reach(app: Celery, timeout: float = 3.0) -> Iterator[Any]:
    """A kombu connection that answers within `timeout` seconds. Raises Unavailable, also for what fails inside the block."""
    connection = app.connection_for_write()
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            yield connection
    except (OperationalError, OSError, *connection.connection_errors) as error:
        where, found = masked_url(connection.as_uri(include_password=True)), str(error) or type(error).__name__
        raise Unavailable(
            f"{where}: expected a broker that answers, found: {found}; start it, free its disk, or correct [broker] url"
        ) from error
