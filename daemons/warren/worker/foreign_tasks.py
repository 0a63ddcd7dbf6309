"""Tasks of other workers, kept as files while RabbitMQ does not take them back.

Unacknowledged, these messages would hold places in the prefetch for as long as an alarm lasts, and
the worker needs the places. The messages are not dead letters: another host may have the tasks.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kombu.exceptions import OperationalError

from warren.broker.unroutable import NoRoute
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.system.regular_file import NotRegular, TooLarge, make_directory, read_regular
from warren.worker.dead_letters import DeadLetters
from warren.worker.message_address import address_of, source
from warren.worker.message_copy import copy_of
from warren.worker.message_file import brief, keep_file
from warren.worker.requeue import Requeuer

#: Seconds between two looks at the directory, and the files that one look sends.
LOOK, BATCH = 2.0, 100
#: Seconds until a message that RabbitMQ did not take is tried again.
PASSED = 60.0
#: The most bytes of a file that are read. A message of the largest size that Warren takes by
#: default needs so many bytes when each of its characters is escaped.
LARGEST = 1 << 27


class ForeignTasks:
    """The files of one worker, in a directory of its own.

    As long as the settings name this worker, no other process sends its files.
    """

    def __init__(self, requeuer: Requeuer, directory: Path, dead_letters: DeadLetters) -> None:
        self._requeuer = requeuer
        self._directory = directory
        self._dead_letters = dead_letters
        self._on_way: set[str] = set()
        #: The files that could not be sent, each with the time until which it is skipped. And the
        #: files whose failure is logged already.
        self._passed: dict[str, float] = {}
        self._told: set[str] = set()
        #: The channel of the current connection.
        self._channel: Any = SimpleNamespace(connection=True)
        self._next = 0.0

    def begin(self, channel: Any, workers: Collection[str]) -> None:
        """Begin with a new connection.

        Files that were being sent are sent again. Files of workers that are no longer in `workers`
        are adopted.
        """
        self._channel = channel
        self._on_way.clear()
        self._passed.clear()
        self._next = 0.0
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(
                set(os.listdir(self._directory.parent)) - {*workers, self._directory.name}
            ):
                self._adopt(self._directory.parent / name)

    def _adopt(self, left: Path) -> None:
        with suppress(OSError):  # a link, a file or a full disk: the next connection tries again
            if left.is_symlink():
                return
            for name in os.listdir(left):
                make_directory(self._directory)
                with suppress(FileNotFoundError):  # another worker may have adopted the file
                    os.rename(left / name, self._directory / name)
            left.rmdir()

    def keep(self, message: Any, headers: dict[str, Any], reason: str) -> None:
        """Write the message to a file, with these headers, then acknowledge it.

        A message that no file can hold becomes a dead letter.
        """
        try:
            content = _content(message, headers)
        # A header holds bytes or a datetime, which Celery does not send.
        except (TypeError, ValueError, RecursionError):
            self._dead_letters.keep_here(message, reason, message.ack)
        else:
            later = "the message is sent on when RabbitMQ takes messages again"
            self._dead_letters.write(
                message, partial(keep_file, self._directory, content, later), message.ack
            )

    def step(self) -> None:
        """Send the files when RabbitMQ takes messages again. Called a few times a second."""
        now = time.monotonic()
        if now < self._next or len(self._on_way) >= BATCH:
            return
        self._next = now + LOOK
        self._passed = {name: until for name, until in self._passed.items() if until > now}
        with suppress(FileNotFoundError, NotADirectoryError):
            waiting = [
                name for name in sorted(os.listdir(self._directory)) if not name.startswith(".")
            ]
            self._told &= set(waiting)
            # Files that cannot go now are not part of the batch, so that they delay no other file.
            waiting = [
                name for name in waiting if name not in self._on_way and name not in self._passed
            ]
            for name in waiting[: BATCH - len(self._on_way)]:
                self._send(name)

    def _send(self, name: str) -> None:
        path = self._directory / name
        try:
            # Any task may put another kind of file there, such as a fifo that would block the main
            # loop for ever.
            message, queue = _message(read_regular(path, LARGEST)[0], self._channel)
        except FileNotFoundError:
            return
        except (NotRegular, TooLarge, ValueError, KeyError, TypeError, RecursionError) as error:
            self._reject(name, brief(error))  # this worker has not written the file
            return
        except OSError as error:
            self._pass(name, brief(error))
            return
        self._on_way.add(name)
        # A failure never follows a confirmation, so a rejected message was not sent.
        ways: dict[str, Any] = {
            "refused": partial(
                self._reject,
                name,
                "expected a message that can be sent, found an unsendable message",
            ),
            "not_taken": partial(
                self._pass,
                name,
                f"the queue {queue[:200]} does not exist, or takes no more messages",
            ),
        }
        try:
            # The file is removed when the broker has the copy. If the worker dies in between, the
            # task is there twice, under one id.
            self._requeuer.send(message, "", queue, partial(self._sent, name), waits=True, **ways)
        except self._requeuer.lost:
            raise
        # The message may have come from another broker than this.
        except (NoRoute, OperationalError) as error:
            self._pass(name, brief(error))
        except Exception as error:  # noqa: BLE001  any process may write what cannot be sent
            self._reject(name, brief(error))

    def _pass(self, name: str, reason: str) -> None:
        """Skip the file for a while, then try it again."""
        self._on_way.discard(name)
        self._passed[name] = time.monotonic() + PASSED
        if name not in self._told:
            self._told.add(name)
            logger().error(
                Event.CANNOT_KEEP,
                reason=reason,
                consequence=f"the message stays in {self._directory / name} and is tried again",
            )

    def _reject(self, name: str, reason: str) -> None:
        """Make the file a dead letter of this host, because a later attempt would fail as well."""
        self._on_way.discard(name)
        try:
            self._dead_letters.adopt(self._directory / name, reason)
        except FileNotFoundError:
            return
        except OSError as error:
            self._pass(name, f"{reason}; {brief(error)}")

    def _sent(self, name: str) -> None:
        # If this fails, the file stays in `_on_way`, and is not sent again over this connection.
        with suppress(OSError):
            os.unlink(self._directory / name)
            self._on_way.discard(name)
            self._next = 0.0


def _content(message: Any, headers: dict[str, Any]) -> bytes:
    """Return what a file holds.

    Raises TypeError, ValueError or RecursionError for content that JSON would not restore exactly.
    """
    fields = copy_of(message, **address_of(message), **headers)
    body = fields.pop("body")
    text = body if isinstance(body, str) else bytes(body).decode()
    return json.dumps({**fields, "body": text, "queue": source(message)}).encode()


#: The fields that every file must hold, and their types.
_FIELDS = {"headers": dict, "properties": dict, "body": str, "queue": str}


def _message(content: bytes, channel: Any) -> tuple[Any, str]:
    """Return the message of a file, and the name of its queue."""
    fields = json.loads(content)
    if not isinstance(fields, dict) or not all(
        isinstance(fields[name], kind) for name, kind in _FIELDS.items()
    ):
        raise ValueError("expected a message")
    queue, priority = fields.pop("queue"), fields.pop("priority")
    fields["properties"]["priority"] = priority
    stays = {"channel": channel, "delivery_info": {}, "requeue": lambda: None}
    return SimpleNamespace(**fields, **stays), str(queue)
