"""The timeout of RabbitMQ's answers other than confirmations."""

from __future__ import annotations

import time
from typing import Any

from warren.broker.transport_profiles import RABBITMQ_ANSWER

#: Seconds that the broker has for an answer other than a confirmation.
ANSWER = RABBITMQ_ANSWER


class AnswerTimeout:
    """The waits of a channel and of a connection, each with a limit."""

    def wait(
        self,
        method: Any,
        callback: Any = None,
        timeout: float | None = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Wait as py-amqp does, but at most ANSWER seconds.

        Raises TimeoutError then, and drops the connection: its closing would wait as long.
        """
        if timeout is not None:
            return super().wait(method, callback, timeout, returns_tuple)  # type: ignore[misc]
        connection: Any = self.connection or self  # type: ignore[attr-defined]
        # py-amqp starts its time again at each frame, and a blocked connection still gets its
        # heartbeats, a consuming connection its messages.
        before, connection.answer_by = connection.answer_by, time.monotonic() + ANSWER
        try:
            return super().wait(method, callback, ANSWER, returns_tuple)  # type: ignore[misc]
        except TimeoutError:
            connection.collect()
            raise
        finally:
            connection.answer_by = before
