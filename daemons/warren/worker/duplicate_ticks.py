"""Drops a tick of beat that comes twice under one id.

Beat sends a tick again when beat cannot know whether the broker has the first message. The second
message is dropped if this host knows that the task of the first message has ended. All workers of
the host share a table of ended tasks, which outlives them. What other hosts have run, and what
another worker of this host is running now, is not known here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from celery.worker import state

from warren.app.factory import TICK
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.regular_file import make_directory, open_or_make
from warren.worker.task_fields import about_message

#: The bytes that stand for one id, the ids in one row (the newest first), and the rows of the
#: table.
_DIGEST, _ROW, _ROWS = 16, 16, 4096
#: Seconds until a second message is checked again while the task of the first message runs.
AGAIN = 5.0
_logger = logging.getLogger(__name__)


class Ended:
    """The ids that were added last, about 50,000, in a file of fixed size.

    There is no lock: when two ids are added to one row at the same moment, one id may be lost. A
    power cut may lose any id. An id that cannot be written or read counts as unknown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __contains__(self, identity: str) -> bool:
        digest, offset = _row_of(identity)
        return digest in self._row(offset)

    def add(self, identity: str) -> None:
        """Note that the task with this id has ended."""
        digest, offset = _row_of(identity)
        known = [each for each in self._row(offset) if each != digest]
        with suppress(OSError):
            os.pwrite(self._open(), b"".join([digest, *known])[: _DIGEST * _ROW], offset)

    def _row(self, offset: int) -> list[bytes]:
        try:
            found = os.pread(self._open(), _DIGEST * _ROW, offset)
        except OSError:
            return []
        return [found[start : start + _DIGEST] for start in range(0, len(found), _DIGEST)]

    def _open(self) -> int:
        if self._file < 0 or not os.fstat(self._file).st_nlink:  # A task has removed the file.
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            make_directory(self._path.parent)
            self._file = open_or_make(self._path)
        return self._file


class DuplicateTicks:
    """The ticks that come to one worker.

    away: sends a message back to the broker. It takes the message, the time at which to deliver it
    again (seconds since the epoch), and the seconds until then. It returns False when it cannot
    send.
    """

    def __init__(self, path: Path, away: Callable[[Any, float, float], bool]) -> None:
        self._ended, self._away = Ended(path), away
        self._consumer: Any = None

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection."""
        self._consumer = consumer

    def ended(self, headers: dict[str, Any]) -> None:
        """Note that the task with these headers has ended, and that its message is acknowledged."""
        if identity := _tick(headers):
            self._ended.add(identity)

    def repeats(self, message: Any) -> bool:
        """Drop a message that repeats a tick, or send it back; return whether one of these was
        done.

        The message goes back while the task of the first message still runs.
        """
        identity = _tick(message.headers)
        if not identity:
            return False
        if identity in self._ended:
            logger().info(Event.TICK_REPEATED, **about_message(message))
            message.ack_log_error(_logger, self._consumer.connection_errors)
            return True
        # Not dropped yet: the broker may no longer have the first message, and if this worker died
        # the tick would be lost.
        return _at_work(identity) and self._away(message, time.time() + AGAIN, AGAIN)


def _tick(headers: Any) -> str:
    """Return the id of the tick whose message has these headers; empty for any other message."""
    identity = headers.get(TICK)
    return identity if isinstance(identity, str) and identity == headers.get("id") else ""


def _at_work(identity: str) -> bool:
    # After a broken connection, only Celery's second set has the running tasks.
    return identity in state.requests or any(
        request.id == identity for request in state.active_requests
    )


def _row_of(identity: str) -> tuple[bytes, int]:
    digest = blake2b(identity.encode("utf-8", "replace"), digest_size=_DIGEST).digest()
    return digest, int.from_bytes(digest[:4], "big") % _ROWS * _DIGEST * _ROW
