"""Messages that no worker can run, kept where a person finds them.

RabbitMQ and Redis: a queue named warren.rejected. Embedded broker: the directory broker/rejected.
While RabbitMQ takes no messages, or where the broker's user may not declare that queue: the
directory `rejected` of this host's state_dir, one file for each message.
"""

from __future__ import annotations

import base64
import json
import os
import reprlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from warren.app.queues import declare_rejected
from warren.broker.queue_names import REJECTED
from warren.broker.rejection_limits import Bound
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.regular_file import make_directory, move_away
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import copy_of
from warren.worker.message_file import brief, keep_file
from warren.worker.prefetch_room import PrefetchRoom
from warren.worker.requeue import Requeuer

#: The header that says why, when, by whom and from which queue a message was rejected.
WHY = "warren_rejected"
#: Seconds until the worker tries a full disk again: the first pause and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: The most messages, and the most bytes, that wait for a full disk in addition to the prefetch.
MOST_UNKEPT, MOST_UNKEPT_BYTES = 1000, 64 * 2**20
#: The messages that the worker tries in one step of the main loop.
_BATCH = 50
#: Characters of a reason that the header holds.
_LONGEST = 400


class DeadLetters:
    """The dead letters of one worker. `directory` is this host's own."""

    def __init__(
        self,
        requeuer: Requeuer,
        host: str,
        worker: str,
        directory: Path,
        queue_type: str = "quorum",
    ) -> None:
        self._requeuer = requeuer
        self._host = host
        self._worker = worker
        self._directory = directory
        self._bound = Bound(directory)
        self._declare = partial(declare_rejected, queue_type=queue_type)
        #: The messages that a full disk did not take, and the room for them in the prefetch.
        self._unkept: deque[_Unkept] = deque()
        self._room = PrefetchRoom()
        self._pause, self._next = FIRST_PAUSE, 0.0

    def begin(self, consumer: Any) -> None:
        """Begin with a new connection: messages that were not kept are delivered again."""
        self._unkept.clear()
        self._room.begin(consumer)

    def step(self) -> None:
        """Try again to keep the messages that a full disk did not take.

        Called a few times a second.
        """
        if not self._unkept or time.monotonic() < self._next:
            return
        for _ in range(min(_BATCH, len(self._unkept))):
            first = self._unkept[0]
            try:
                first.write()
            except OSError:
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._next = time.monotonic() + self._pause
                return
            self._unkept.popleft()
            first.done()
        self._make_room()

    def keep(self, message: Any, reason: str, done: Callable[[], Any]) -> None:
        """Keep a copy of the message, then call `done`, which acknowledges it."""
        headers = self._headers(message, reason)
        # The embedded broker's channel keeps the copy.
        keep = getattr(message.channel, "keep_rejected", None)
        if keep is not None:
            self.write(message, partial(keep, message, headers), done)
            return
        try:
            here = partial(self._keep_here, message, headers, done)
            options: dict[str, Any] = {
                "headers": headers,
                "refused": here,
                "declare": self._declare,
                "repeatable": True,
            }
            self._requeuer.send(message, "", REJECTED, done, **options)
            if (bound := getattr(message.channel, "bound_rejected", None)) is not None:
                bound()  # the copy is in Redis by now; RabbitMQ bounds its queue itself
        except self._requeuer.lost:
            raise  # The broker still has the message, and delivers it again.
        # A message that cannot be run may be impossible to send, too: it may be too large, too
        # deep, or not text.
        except Exception as error:  # noqa: BLE001
            logger().error(
                Event.CANNOT_KEEP,
                reason=brief(error),
                consequence="the message is kept on this host",
            )
            self._keep_here(message, headers, done)

    def keep_here(self, message: Any, reason: str, done: Callable[[], Any]) -> None:
        """Keep the message on this host, because RabbitMQ takes no messages.

        Otherwise the message would hold a place in the prefetch for as long.
        """
        self._keep_here(message, self._headers(message, reason), done)

    def adopt(self, path: Path, reason: str) -> None:
        """Move a file of any kind to this host's dead letters, and log that. Raises OSError."""
        make_directory(self._directory)
        size = os.lstat(path).st_size
        move_away(path, reason, f"{self._directory}/{time.time_ns()}-{secrets.token_hex(4)}")
        self._bound.added(size)

    def _headers(self, message: Any, reason: str) -> dict[str, Any]:
        why = {
            "reason": reason[:_LONGEST],
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "host": self._host,
            "worker": self._worker,
            "queue": source(message),
        }
        return {WHY: why, **address_of(message)}

    def _keep_here(self, message: Any, headers: dict[str, Any], done: Callable[[], Any]) -> None:
        self.write(message, partial(self._to_file, message, headers), done)

    def _to_file(self, message: Any, headers: dict[str, Any]) -> None:
        content = _content(message, headers)
        keep_file(self._directory, content, headers[WHY]["reason"])
        self._bound.added(len(content))

    def write(self, message: Any, write: Callable[[], None], done: Callable[[], Any]) -> None:
        """Call `write`, which keeps the message, and then `done`, which acknowledges it.

        When a full disk refuses the message, it stays unacknowledged, and the worker tries again.
        If it went back to its queue, the broker would deliver it again and again while the disk is
        full.
        """
        if not self._unkept:
            try:
                write()
            except OSError as error:
                consequence = (
                    "rejected messages stay unacknowledged and are tried again until the disk "
                    "takes them"
                )
                logger().error(Event.CANNOT_KEEP, reason=brief(error), consequence=consequence)
                self._pause = FIRST_PAUSE
                self._next = time.monotonic() + FIRST_PAUSE
            else:
                done()
                return
        self._unkept.append(_Unkept(write, done, len(message.body or b"")))
        self._make_room()

    def _make_room(self) -> None:
        """Raise the prefetch by the messages that wait for the disk, while they are few and small.

        Otherwise these messages would take the room of tasks that can run.
        """
        room = held = 0
        for each in self._unkept:
            held += each.size
            if room >= MOST_UNKEPT or held > MOST_UNKEPT_BYTES:
                break
            room += 1
        self._room.make(room)


class _Unkept(NamedTuple):
    """A rejected message that is not on disk yet: its two functions, and its size."""

    write: Callable[[], None]
    done: Callable[[], Any]
    size: int


def _content(message: Any, headers: dict[str, Any]) -> bytes:
    """Return the file's text: the message with these headers.

    When JSON cannot hold the message, returns Python's own text of it.
    """
    try:
        return json.dumps(copy_of(message, **headers), default=_text).encode()
    # JSON cannot hold keys that are no texts, an endless depth, or a value that cannot be shown.
    except Exception as error:  # noqa: BLE001
        shown = {
            name: reprlib.repr(getattr(message, name, None))
            for name in ("headers", "properties", "body")
        }
        return json.dumps(
            {**shown, "headers": headers, "shown": shown["headers"], "unwritable": brief(error)},
            default=_text,
        ).encode()


def _text(value: Any) -> str:
    """Return what JSON cannot hold: bytes in base64, else as Python shows it."""
    return (
        base64.b64encode(value).decode()
        if isinstance(value, bytes | bytearray | memoryview)
        else repr(value)
    )
