"""A connection to the broker for a command: there at once, or a clear word why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from warren.broker.remedies import beginning, remedy
from warren.broker.unroutable import NoRoute
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
    except NoRoute:
        raise  # the broker answers, and takes messages
    except (OperationalError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
        raise _unavailable(connection, error) from error


def _unavailable(connection: Any, error: Exception) -> Unavailable:
    """Some refusals are errors of the connection to the libraries, and some of the channel: the broker's words tell."""
    words = f"{type(error.__cause__).__name__} {error}"
    return Unavailable(f"{beginning(words)}{_why(error)} ({_where(connection)}); {remedy(words)}")


def _where(connection: Any) -> str:
    return redact(connection.as_uri(include_password=True))


def _why(error: Exception) -> str:
    """The reason alone, which has to stand first: monitors cut a line off."""
    return re.sub(r"^(?:Error -?\d+ |\[Errno -?\d+\] )", "", str(error)) or type(error).__name__
