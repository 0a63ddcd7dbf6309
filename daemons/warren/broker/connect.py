"""A connection to the broker for a command: either it opens at once, or the error says why not."""

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

    Raises Unavailable, also when something fails inside the block.
    """
    connection = transport_profiles.connection(app, kind)
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            yield connection
    except NoRoute:
        raise  # the broker answers and takes messages: the error says something else
    except (
        OperationalError,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    ) as error:
        raise _unavailable(connection, error) from error


def _unavailable(connection: Any, error: Exception) -> Unavailable:
    """Return the error with its reason and remedy.

    The libraries raise errors of the connection for some refusals, and errors of the channel for
    others. Only the broker's text says which refusal it is.
    """
    text = f"{type(error.__cause__).__name__} {error}"
    return Unavailable(f"{beginning(text)}{_why(error)} ({_where(connection)}); {remedy(text)}")


def _where(connection: Any) -> str:
    return redact(connection.as_uri(include_password=True))


def _why(error: Exception) -> str:
    """Return only the reason, without the library's prefix.

    The reason has to come first, because monitors cut off a line.
    """
    return re.sub(r"^(?:Error -?\d+ |\[Errno -?\d+\] )", "", str(error)) or type(error).__name__
