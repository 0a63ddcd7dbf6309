"""Sends the tasks of requests in threads: a broker that hangs holds up no other request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, TypeVar

from celery import Celery, signals
from celery.exceptions import QueueNotFound
from kombu.exceptions import ChannelError, EncodeError, OperationalError

from warren.app.factory import TICK
from warren.broker.publish_timeout import NotTaken
from warren.broker.unroutable import NoRoute
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact
from warren.web.refusals import Refused
from warren.web.submission import Submission

#: Threads that send, each with a connection of its own from Celery's pool.
THREADS = 8
#: Requests that wait for a thread or for the broker; further ones are refused at once.
MOST_WAITING = 256
#: Seconds that a request waits for a thread. Its client may have gone, and may have asked again.
_LONGEST_WAIT = 10.0

_Value = TypeVar("_Value")
#: The id of the task that this thread sends, if a worker must drop a second message with that id.
_once: ContextVar[str | None] = ContextVar("once", default=None)


class NotSent(Refused):
    """A task that was not sent. `certain` is False when the broker may have it all the same."""

    def __init__(self, status: HTTPStatus, detail: str, certain: bool, **headers: str) -> None:
        super().__init__(status, detail, **headers)
        self.certain = certain


class Sender:
    """The threads that send, and what they send with."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(THREADS, "send")
        self._waiting = 0
        # After the app's own receiver, which removes the header of a message that is copied.
        signals.before_task_publish.connect(_mark, dispatch_uid="warren.web.mark")

    async def run(self, act: Callable[[], _Value]) -> _Value:
        """Run `act` in one of the threads. Raises Refused when too many requests wait."""
        if self._waiting >= MOST_WAITING:
            raise NotSent(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"expected at most {MOST_WAITING} requests at once, found more",
                certain=True,
                Retry_After="1",
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _soon(act))
        finally:
            self._waiting -= 1

    def send(self, submission: Submission, task_id: str, once: bool) -> None:
        """Send the task and wait until the broker has it. Raises NotSent. For a thread.

        once: mark the message so that a worker drops a second message with this id.
        """
        _once.set(task_id if once else None)
        try:
            self._app.tasks[submission.task].apply_async(
                submission.args,
                submission.kwargs,
                task_id=task_id,
                retry=False,
                **submission.options,
            )
        except (
            NoRoute,
            QueueNotFound,
        ) as error:  # no queue of the INI files
            raise NotSent(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), certain=True) from None
        except (OperationalError, ChannelError, OSError) as error:
            certain = isinstance(error, NotTaken) and not error.sent
            raise _broker_away(redact(f"{type(error).__name__}: {error}"), certain) from None
        except EncodeError as error:
            detail = f"expected arguments that fit into a message: {error}"
            raise NotSent(HTTPStatus.UNPROCESSABLE_ENTITY, detail, certain=True) from None
        # The sending may run code of the project. Its SystemExit would end the server's loop.
        except BaseException as error:  # noqa: BLE001
            logger().exception(Event.WEB_FAILED, task=submission.task, task_id=task_id)
            detail = f"the sending of {submission.task} failed: {type(error).__name__}"
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise NotSent(status, detail, certain=False) from None
        finally:
            _once.set(None)

    def close(self) -> None:
        """Take no more requests; what is being sent has the time that the daemon has."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _soon(act: Callable[[], _Value]) -> Callable[[], _Value]:
    """Return a call of `act` that raises NotSent when it begins too late."""
    latest = time.monotonic() + _LONGEST_WAIT

    def begin() -> _Value:
        if time.monotonic() > latest:
            raise NotSent(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the broker did not take other tasks within {_LONGEST_WAIT:g} s: the task was "
                "not sent; send the request again",
                certain=True,
                Retry_After="5",
            )
        return act()

    return begin


def _broker_away(reason: str, certain: bool) -> NotSent:
    known = "the task was not sent" if certain else "the task may have been sent"
    remedy = "send the request again, with the same Idempotency-Key"
    logger().error(Event.WEB_FAILED, reason=reason, consequence=known)
    return NotSent(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"the broker does not answer: {known}; {remedy}",
        certain,
        Retry_After="5",
    )


def _mark(headers: dict[str, Any] | None = None, **_: Any) -> None:
    identity = _once.get()
    if headers is not None and identity is not None:
        headers[TICK] = identity
