"""Messages that nobody can run, kept where a person finds them.

RabbitMQ and Redis: a queue named warren.rejected. Embedded broker: the folder broker/rejected. While RabbitMQ takes no messages,
or where it grants its user no such queue: the folder `rejected` of this host's state_dir, a file each.
"""

from __future__ import annotations

import base64
import json
import os
import reprlib
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from warren.broker.disk import sync_folder, write_whole
from warren.broker.queues import REJECTED, declare_rejected
from warren.events import Event
from warren.log import get
from warren.worker.address import address_of, source
from warren.worker.copies import Copies
from warren.worker.message import copy_of

#: The header that says why, when, by whom and from which queue a message was rejected.
WHY = "warren_rejected"
#: Characters of a reason that the header holds.
_LONGEST = 400


class DeadLetters:
    """The dead letters of one worker. `folder` is this host's own."""

    def __init__(self, copies: Copies, host: str, worker: str, folder: Path, queue_type: str = "quorum") -> None:
        self._copies = copies
        self._host = host
        self._worker = worker
        self._folder = folder
        self._declare = partial(declare_rejected, queue_type=queue_type)

    def keep(self, message: Any, reason: str, done: Callable[[], Any]) -> None:
        """Keep a copy of the message, then call `done`, which acknowledges it."""
        headers = self._headers(message, reason)
        keep = getattr(message.channel, "keep_rejected", None)  # the embedded broker's
        if keep is not None:
            keep(message, headers)
            done()
            return
        try:
            here = partial(self._keep_here, message, headers, done)
            self._copies.give(message, "", REJECTED, done, headers=headers, refused=here, declare=self._declare)
        except self._copies.lost:
            raise  # the broker has it still, and delivers it again
        except Exception as error:  # noqa: BLE001  what cannot be run may well be what cannot be sent: too large, no text, too deep
            get().error(Event.CANNOT_KEEP, reason=_brief(error), consequence="it is kept on this host")
            self._keep_here(message, headers, done)

    def keep_here(self, message: Any, reason: str, done: Callable[[], Any]) -> None:
        """Keep it on this host: RabbitMQ takes no messages, and it may not hold a place of the prefetch meanwhile."""
        self._keep_here(message, self._headers(message, reason), done)

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
        name = f"{time.time_ns()}-{secrets.token_hex(4)}.json"
        try:
            os.makedirs(self._folder, mode=0o750, exist_ok=True)
            content = _content(message, headers)
            write_whole(f"{self._folder}/{name}", f"{self._folder}/.{name}", content, durable=True)
            sync_folder(str(self._folder))
        except OSError as error:
            get().error(Event.CANNOT_KEEP, reason=_brief(error), consequence="the message goes back to its queue")
            message.requeue()
            return
        get().warning(Event.KEPT_HERE, path=f"{self._folder}/{name}", reason=headers[WHY]["reason"])
        done()


def _content(message: Any, headers: dict[str, Any]) -> bytes:
    """Return the file's text: the message with these headers or, where JSON cannot hold that, what Python shows of it."""
    try:
        return json.dumps(copy_of(message, **headers), default=_text).encode()
    except Exception as error:  # noqa: BLE001  keys that are no texts, a depth without an end, a value that cannot be shown
        shown = {name: reprlib.repr(getattr(message, name, None)) for name in ("headers", "properties", "body")}
        return json.dumps(
            {**shown, "headers": headers, "shown": shown["headers"], "unwritable": _brief(error)}, default=_text
        ).encode()


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST]


def _text(value: Any) -> str:
    """Return what JSON has no word for: bytes in base64, else as Python shows it."""
    return base64.b64encode(value).decode() if isinstance(value, bytes | bytearray | memoryview) else repr(value)
