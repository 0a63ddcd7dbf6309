"""Answers to messages that Redis did not take. Each answer is given again, or ends the connection.

When an answer fails on RabbitMQ, the connection is broken, and the worker notices. Redis takes each
answer over any connection. When an answer fails there, the consuming connection stays intact, and
the message keeps its place in the prefetch; when all places are held, the worker would wait for
ever. Redis knows a message by its tag on any connection, so a task that has ended need not run
again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from celery.worker.state import active_requests

from warren.broker.redis.lost_messages import LOST

_logger = logging.getLogger(__name__)


class PendingAnswers:
    """The answers of one worker's consumer that its broker has not taken yet."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        #: The number of the connection over which Redis did not take an answer to a message.
        self._unanswered = -1
        #: Redis' tags of messages whose tasks are done, which Redis has not been told yet.
        self._unacknowledged: deque[str] = deque()

    def begin(self) -> None:
        """Have Redis' transport ask here whether this worker still has a message."""
        LOST.at_work = self._is_at_work

    def step(self) -> None:
        """Give Redis the answers that it did not take.

        Raises an error of the connection; Celery then connects again.
        """
        if self._unanswered == self._consumer.restart_count:
            raise ConnectionResetError("the broker did not take an answer to a message in time")
        while self._unacknowledged:
            self._consumer.task_consumer.channel.qos.ack(self._unacknowledged[0])
            # removed only now: an acknowledgement that fails stays pending, and a second one does
            # no harm
            self._unacknowledged.popleft()

    def watch(self, message: Any) -> None:
        """Notice the failure of an answer to this message.

        Celery logs such a failure and forgets it.
        """
        message.ack_log_error = self._noticing(message, message.ack_log_error, done=True)
        message.reject_log_error = self._noticing(message, message.reject_log_error, done=False)

    def _is_at_work(self, tag: str) -> bool:
        return tag in self._unacknowledged or any(
            request.message.delivery_tag == tag for request in active_requests
        )

    def _noticing(
        self, message: Any, answer: Callable[..., None], done: bool
    ) -> Callable[..., None]:
        """Return `answer` with a note of its own failure.

        answer: Celery's acknowledgement (`done`) or rejection.
        """
        connection = self._consumer.restart_count

        def noticed(*arguments: Any, **options: Any) -> None:
            over = self._consumer.restart_count != connection
            # Each attempt at a broker that hangs blocks the main loop, so there is only one
            # attempt.
            if self._unanswered != connection and not (over and done):
                try:
                    answer(*arguments, **options)
                # Redis takes no writes now, and gets the answer again when it does.
                except self._consumer.channel_errors as error:
                    _logger.warning("Redis did not take an answer to a message: %s", error)
                if not message.acknowledged:
                    self._unanswered = connection
            if done and not message.acknowledged:
                self._unacknowledged.append(message.delivery_tag)

        return noticed
