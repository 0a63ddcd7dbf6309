"""A connection to the broker for a command: there at once, or a clear word why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from warren.errors import Unavailable
from warren.redaction import redact


@contextmanager
def reach(app: Celery, timeout: float = 3.0) -> Iterator[Any]:
    """A kombu connection that answers within `timeout` seconds. Raises Unavailable, also for what fails inside the block."""
    connection = app.connection_for_write()
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            yield connection
    except (OperationalError, OSError, *connection.connection_errors) as error:
        remedy = "start it, free its disk, or correct [broker] url"
        raise _unavailable(connection, "a broker that answers", error, remedy) from error
    except connection.channel_errors as error:  # among them a refused login: py-amqp has no error of the connection for it
        remedy = "correct user, password and virtual host in [broker] url, or the user's rights at the broker"
        raise _unavailable(connection, "a broker that grants what is asked of it", error, remedy) from error


def _unavailable(connection: Any, expected: str, error: Exception, remedy: str) -> Unavailable:
    where, found = redact(connection.as_uri(include_password=True)), str(error) or type(error).__name__
    return Unavailable(f"{where}: expected {expected}, found: {found}; {remedy}")
