"""A connection to the broker for a command: open at once, or a clear reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from warren.broker import transport_profiles
from warren.broker.remedies import beginning, remedy
from warren.broker.transport_profiles import Kind
from warren.broker.unroutable import NoRoute
from warren.errors import Unavailable
from warren.redaction.masker import redact


@contextmanager
def reach(app: Celery, timeout: float = 3.0, kind: Kind = Kind.SENDER) -> Iterator[Any]:
    """Yield a kombu connection of this kind that answers within `timeout` seconds.

    Raises Unavailable, also for what fails inside the block.
    """
    connection = transport_profiles.connection(app, kind)
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            yield connection
    except NoRoute:
        raise  # the broker answers, and takes messages
    except (
        OperationalError,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    ) as error:
        raise _unavailable(connection, error) from error


def _unavailable(connection: Any, error: Exception) -> Unavailable:
    """Return the error with its reason and remedy.

    For the libraries some refusals are errors of the connection, and some of the channel: only the
    broker's text tells them apart.
    """
    text = f"{type(error.__cause__).__name__} {error}"
    return Unavailable(f"{beginning(text)}{_why(error)} ({_where(connection)}); {remedy(text)}")


def _where(connection: Any) -> str:
    return redact(connection.as_uri(include_password=True))


def _why(error: Exception) -> str:
    """Return only the reason. It has to come first: monitors cut off a line."""
    return re.sub(r"^(?:Error -?\d+ |\[Errno -?\d+\] )", "", str(error)) or type(error).__name__
