"""A connection to the broker for a command: there at once, or a clear word why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from warren.errors import Unavailable
from warren.redaction import redact

#: How the word of a broker that does not answer begins.
AWAY = "the broker does not answer: "
#: The errors of py-amqp and of redis-py for what the user may not do, or for a virtual host that is not there.
_REFUSALS = {"AccessRefused", "NotAllowed", "AuthenticationError", "AuthorizationError", "NoPermissionError"}


@contextmanager
def reach(app: Celery, timeout: float = 3.0) -> Iterator[Any]:
    """A kombu connection that answers within `timeout` seconds. Raises Unavailable, also for what fails inside the block."""
    connection = app.connection_for_write()
    try:
        with connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=timeout)
            yield connection
    except (OperationalError, OSError, *connection.connection_errors) as error:
        # A broker that refuses a password or a virtual host answers, and the libraries call it an error of the connection.
        refused = {type(error).__name__, type(error.__cause__).__name__} & _REFUSALS
        raise (_refused if refused else _away)(connection, error) from error
    except connection.channel_errors as error:  # among them a refused login: py-amqp has no error of the connection for it
        raise _refused(connection, error) from error


def _away(connection: Any, error: Exception) -> Unavailable:
    remedy = "start the broker, free its disk, or correct [broker] url"
    return Unavailable(f"{AWAY}{_why(error)} ({_where(connection)}); {remedy}")


def _refused(connection: Any, error: Exception) -> Unavailable:
    remedy = "correct user, password and virtual host in [broker] url, or the user's rights at the broker"
    return Unavailable(f"the broker refuses: {_why(error)} ({_where(connection)}); {remedy}")


def _where(connection: Any) -> str:
    return redact(connection.as_uri(include_password=True))


def _why(error: Exception) -> str:
    """The reason alone, which has to stand first: monitors cut a line off."""
    return re.sub(r"^(?:Error -?\d+ |\[Errno -?\d+\] )", "", str(error)) or type(error).__name__
