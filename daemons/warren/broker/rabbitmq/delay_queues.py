"""The queues of RabbitMQ in which messages wait that are due later: one delay for each queue.

A queue releases its messages from the front, so all messages in it have to wait equally long: the
delay belongs to the queue. There is one queue for each power of two seconds, made when it is first
needed. From there a message returns to the queue that it came from, by that queue's name. A message
that must wait longer than its power of two is then sent to the next of these queues.

Celery's own delays go through an exchange, to every queue that is bound for the key; and a sender
other than Warren may not use them.
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
#: The directory in the state directory with an empty file for each existing queue of this kind; and
#: the most of these files that count.
_NOTES, _MOST_NOTED = "later", 500
#: The longest delay is 2 to this power in seconds, 97 days: an ETA may be 366 days ahead.
_HIGHEST = 23


def place(queue: str, seconds: float) -> tuple[str, int]:
    """Return the name of the queue with the longest delay that fits, and this delay. Pure.

    seconds: the most that the delay may be, 1 or more. The delay is in seconds, too.
    """
    level = 2 ** min(int(seconds).bit_length() - 1, _HIGHEST)
    return f"{_PREFIX}{queue}.{level}", level


def declare(channel: Any, name: str, queue: str, level: int) -> None:
    """Declare the queue. Raises an error of the channel, which closes the channel.

    It is a quorum queue, whatever the other queues are: only a quorum queue keeps a message until
    the target queue has taken it.
    """
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": level * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # the strategy requires it
    }
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def note(state_dir: Path, name: str) -> None:
    """Remember over restarts that the queue exists.

    The count of its messages needs it (waiting_counts.py). A request for a missing queue leaves an
    error in RabbitMQ's log: only noted queues are asked for.
    """
    directory = state_dir / _NOTES
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    # The queue was noted before; or the disk is full, and its messages are not counted.
    with suppress(OSError):
        try:
            os.close(os.open(directory / quote(name, safe=""), flags, 0o600))
        except (FileNotFoundError, NotADirectoryError):
            make_directory(directory)
            os.close(os.open(directory / quote(name, safe=""), flags, 0o600))


def noted(state_dir: Path) -> list[str]:
    """Return the queues into which workers of this host have put messages, at most _MOST_NOTED."""
    # A file may be foreign. RabbitMQ's library refuses to send a name with other bytes than
    # Warren's names have.
    names = [unquote(name) for name in sorted(names_in(state_dir / _NOTES)) if name.isascii()]
    return [name for name in names if name.startswith(_PREFIX)][:_MOST_NOTED]


def forget(state_dir: Path, name: str) -> None:
    """Note that the queue no longer exists."""
    with suppress(OSError):
        os.unlink(state_dir / _NOTES / quote(name, safe=""))
