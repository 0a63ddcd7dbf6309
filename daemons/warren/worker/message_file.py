"""A message that RabbitMQ does not take, as a file of this host."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from warren.broker.embedded.filesystem import write_whole
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.atomic_write import sync_directory
from warren.system.regular_file import make_directory

#: Characters of an error's text that are kept.
_LONGEST = 400


def brief(error: Exception) -> str:
    """Return an error as the reason of a log line or a header: its type and its text, cut short."""
    return f"{type(error).__name__}: {error}"[:_LONGEST]


def keep_file(directory: Path, content: bytes, reason: str) -> None:
    """Add a file to the directory, and log why the message is there.

    The file is on disk when this returns. Raises OSError.
    """
    name = f"{time.time_ns()}-{secrets.token_hex(4)}.json"
    make_directory(directory)
    write_whole(f"{directory}/{name}", f"{directory}/.{name}", content, durable=True)
    sync_directory(str(directory))
    logger().warning(Event.KEPT_HERE, path=f"{directory}/{name}", reason=reason)
