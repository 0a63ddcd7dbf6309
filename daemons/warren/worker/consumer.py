"""Celery's consumer with Warren's stages of a message, which rejects what cannot be run.

Celery's own handlers of such messages write the whole body into the log. Warren logs no arguments,
and rejects rather than deletes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from celery.exceptions import NotRegistered
from celery.utils.objects import Bunch
from kombu.exceptions import ContentDisallowed

from warren.worker.consumer_connection import ConnectedConsumer
from warren.worker.dead_letters import DeadLetters
from warren.worker.message_address import restore_address
from warren.worker.message_checks import settle
from warren.worker.message_stages import MessageStages
from warren.worker.pending_answers import PendingAnswers
from warren.worker.prefetch_room import raising_at_once
from warren.worker.rejection import at_its_own_cost, reject
from warren.worker.unknown_tasks import UnknownTasks

_logger = logging.getLogger(__name__)


class Consumer(ConnectedConsumer):
    """Consumes the worker's queues.

    Celery makes the object, by a partial that has the keywords.
    """

    def __init__(
        self,
        on_task_request: Callable[[Any], None],
        *arguments: Any,
        stages: MessageStages,
        dead_letters: DeadLetters,
        unknown_tasks: UnknownTasks,
        **options: Any,
    ) -> None:
        self._stages = stages
        self._dead_letters = dead_letters
        self._unknown_tasks = unknown_tasks
        #: Messages delivered to this process so far. The supervisor takes a worker for stuck that
        #: is connected and gets no messages.
        self.taken = 0
        #: How many of these messages the worker has rejected.
        self.rejected = 0
        self.pending_answers = PendingAnswers(self)
        #: Keeps a well-formed message in memory, and runs its task when the task is due.
        self.keep_until_due: Callable[[Any], None] = lambda message: None
        super().__init__(partial(self._admit, on_task_request), *arguments, **options)

    def _admit(self, run: Callable[[Any], None], request: Any) -> None:
        self._stages.admit(request, run)

    def create_task_handler(self, **options: Any) -> Callable[[Any], None]:
        """Return Celery's handler behind the stages of a message: no message may end the worker."""
        handle = raising_at_once(self, super().create_task_handler(**options))
        errors = (*self.connection_errors, *self.channel_errors)
        current_message = self._stages.current_message
        redis = self.connection.transport.driver_type == "redis"
        if redis:
            self.pending_answers.begin()
        self.keep_until_due = at_its_own_cost(handle, errors, self._reject)
        looked_at = at_its_own_cost(partial(self._look, handle), errors, self._reject)

        def checked(message: Any) -> None:
            self.taken += 1
            restore_address(message)
            if redis:
                self.pending_answers.watch(message)
            try:
                looked_at(message)
            except errors:
                current_message.clear()
                raise
            # An error of another kind is not caught here: such an error ends the worker, and the
            # message counts as its cause.
            current_message.clear()

        return checked

    def _look(self, handle: Callable[[Any], None], message: Any) -> None:
        problem = self._stages.refusal(message)
        if problem:
            self._stages.flood.foul(message)
            self._reject(message, problem, None)
            return
        settle(message.headers)
        if not self._stages.diverts(message):
            handle(message)

    def unsendable(self, message: Any) -> None:
        """Reject a task that is due later, cannot go back to the broker, and finds no room in
        memory.
        """
        self._reject(
            message,
            "expected a task that can be sent back until it is due, found a message that cannot "
            "be copied",
            None,
        )

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Reject a message that is not a task message."""
        self._reject(message, "expected a task message (headers task and id), found neither", None)

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Reject a message that is not JSON."""
        self._reject(
            message, f"expected a JSON body, found {type(exc.__cause__ or exc).__name__}", exc
        )

    def on_invalid_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Reject a task message whose fields do not follow Celery's protocol."""
        expected = (
            "JSON and nothing else"
            if isinstance(exc, ContentDisallowed)
            else "a valid task message"
        )
        self._reject(message, f"expected {expected}, found: {exc}", exc)

    def on_unknown_task(self, body: Any, message: Any, exc: BaseException) -> None:
        """Requeue a task that this worker does not know, or reject it and store its failure."""
        headers = message.headers or {}
        if self._unknown_tasks.send_on(self, message):
            return
        name, task_id = headers.get("task"), headers.get("id")
        self._reject(
            message,
            f"expected a task of this worker, found {name!r}; add its module to [app] modules",
            exc,
        )
        request = Bunch(
            name=name,
            chord=None,
            root_id=headers.get("root_id"),
            correlation_id=message.properties.get("correlation_id"),
            reply_to=message.properties.get("reply_to"),
            errbacks=None,
        )
        if task_id:
            self.app.backend.mark_as_failure(task_id, NotRegistered(name), request=request)
        signals.task_unknown.send(sender=self, message=message, exc=exc, name=name, id=task_id)

    def _reject(self, message: Any, reason: str, exc: BaseException | None) -> None:
        self.rejected += 1
        # The connection's own errors are logged. The message is delivered again, and rejected then.
        done = partial(message.ack_log_error, _logger, self.connection_errors)
        reject(
            message,
            reason,
            self.connection.as_uri(),
            partial(self._dead_letters.keep, message, reason, done),
        )
        signals.task_rejected.send(sender=self, message=message, exc=exc)
