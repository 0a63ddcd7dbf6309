"""The queues of RabbitMQ for messages that are due later. Each queue has one delay.

A queue releases its messages from its front, so all its messages must wait equally long: the delay
is the queue's. There is one queue for each power of two seconds, made when it is first needed.
After the delay a message returns, by the queue's name, to the queue that it came from. A message
that must wait longer than the power of two is then sent to the next delay queue.

Celery's own delays do not fit here: they go through an exchange, to every queue that is bound for
the key, and a user other than the sender's may lack the right to use them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from warren.broker.rejected_count import names_in
from warren.system.regular_file import make_directory

_PREFIX = "warren.later."
#: The directory in the state directory with an empty file for each existing delay queue. The next
#: number is the most of these files that count.
_NOTES, _MOST_NOTED = "later", 500
#: The longest delay is 2 to this power in seconds, 97 days. An ETA may be 366 days ahead.
_HIGHEST = 23


def place(queue: str, seconds: float) -> tuple[str, int]:
    """Return the name of the queue with the longest delay that fits, and its delay. Pure.

    seconds: the longest delay that fits, 1 or more. The delay is returned as a power of two.
    """
    level = 2 ** min(int(seconds).bit_length() - 1, _HIGHEST)
    return f"{_PREFIX}{queue}.{level}", level


def declare(channel: Any, name: str, queue: str, level: int) -> None:
    """Declare the delay queue. An error of the channel closes the channel.

    The delay queue is a quorum queue, whatever type the other queues have: only a quorum queue
    keeps a message until the target queue has taken it.
    """
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": level * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # this dead-letter strategy requires it
    }
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def note(state_dir: Path, name: str) -> None:
    """Remember over restarts that the queue exists.

    The count of the queue's messages needs this (waiting_counts.py). Only noted queues are asked
    for, because a request for a missing queue leaves an error in RabbitMQ's log.
    """
    directory = state_dir / _NOTES
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # Either the queue was noted before, or the disk is full, and the queue's messages are not
    # counted.
    with suppress(OSError):
        try:
            os.close(os.open(directory / quote(name, safe=""), flags, 0o600))
        except (FileNotFoundError, NotADirectoryError):
            make_directory(directory)
            os.close(os.open(directory / quote(name, safe=""), flags, 0o600))


def noted(state_dir: Path) -> list[str]:
    """Return the delay queues into which workers of this host have put messages.

    Returns at most _MOST_NOTED names.
    """
    # A file may be foreign. RabbitMQ's library refuses to send a name that has other bytes than
    # Warren's names.
    names = [unquote(name) for name in sorted(names_in(state_dir / _NOTES)) if name.isascii()]
    return [name for name in names if name.startswith(_PREFIX)][:_MOST_NOTED]


def forget(state_dir: Path, name: str) -> None:
    """Note that the queue no longer exists."""
    with suppress(OSError):
        os.unlink(state_dir / _NOTES / quote(name, safe=""))
