"""Where messages that are due later wait in RabbitMQ: queues of which each has one delay.

A queue gives up its messages from the front, so that all in it have to wait for as long: the delay is
the queue's. There is one for each power of two seconds, made when it is needed first. From there a
message goes back to the queue that it came from, by its name. What is to wait longer than its power of
two is sent to the next one then.

Celery's own delays lead through an exchange, to every queue that is bound for the key; and a sender that
is not Warren's may not use them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from warren.broker.rejected import names_in
from warren.regular_file import make_directory

_PREFIX = "warren.later."
#: The directory of the state in which each queue that is there has an empty file of its name, and how many of them count.
_NOTES, _MOST_NOTED = "later", 500
#: The longest delay is 2 to this power, 97 days: an ETA may be 366 days ahead.
_HIGHEST = 23


def place(queue: str, seconds: float) -> tuple[str, int]:
    """Return the name of the queue with the longest delay of at most so many seconds (1 at least), and its delay. Pure."""
    level = 2 ** min(int(seconds).bit_length() - 1, _HIGHEST)
    return f"{_PREFIX}{queue}.{level}", level


def declare(channel: Any, name: str, queue: str, level: int) -> None:
    """See that the queue is there. Raises an error of the channel, which closes it.

    A quorum queue whatever the others are: it alone keeps a message until the queue that it goes to has taken it.
    """
    arguments = {
        "x-queue-type": "quorum",
        "x-message-ttl": level * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # the strategy asks for it
    }
    channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def note(state_dir: Path, name: str) -> None:
    """Remember over restarts that the queue is there, for those who count its messages (waiting.py).

    Whoever asks RabbitMQ for a queue that is not there leaves an error in its log: these alone are asked for.
    """
    folder = state_dir / _NOTES
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):  # noted before; or a full disk, and its messages are not counted
        try:
            os.close(os.open(folder / quote(name, safe=""), flags, 0o600))
        except (FileNotFoundError, NotADirectoryError):
            make_directory(folder)
            os.close(os.open(folder / quote(name, safe=""), flags, 0o600))


def noted(state_dir: Path) -> list[str]:
    """Return the queues that workers of this host have put messages into, a bounded number."""
    # Anybody may have made a file there: other bytes than a name of Warren's has, RabbitMQ's library does not even send.
    names = [unquote(name) for name in sorted(names_in(state_dir / _NOTES)) if name.isascii()]
    return [name for name in names if name.startswith(_PREFIX)][:_MOST_NOTED]


def forget(state_dir: Path, name: str) -> None:
    """Note that the queue is gone."""
    with suppress(OSError):
        os.unlink(state_dir / _NOTES / quote(name, safe=""))
