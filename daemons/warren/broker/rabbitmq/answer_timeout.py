"""The timeout of RabbitMQ's answers other than confirmations."""

from __future__ import annotations

import time
from typing import Any

from warren.broker.transport_profiles import RABBITMQ_ANSWER

#: Seconds that the broker has for an answer other than a confirmation.
ANSWER = RABBITMQ_ANSWER


class AnswerTimeout:
    """Adds a limit to each wait of a channel or of a connection."""

    def wait(
        self,
        method: Any,
        callback: Any = None,
        timeout: float | None = None,
        returns_tuple: bool = False,
    ) -> Any:
        """Wait as py-amqp does, but at most ANSWER seconds.

        After that, raises TimeoutError and drops the connection: a close would wait as long again.
        """
        if timeout is not None:
            return super().wait(method, callback, timeout, returns_tuple)  # type: ignore[misc]
        connection: Any = self.connection or self  # type: ignore[attr-defined]
        # py-amqp measures its timeout again from each frame. A blocked connection still gets its
        # heartbeats, and a consuming connection its messages, so that timeout might never end.
        before, connection.answer_by = connection.answer_by, time.monotonic() + ANSWER
        try:
            return super().wait(method, callback, ANSWER, returns_tuple)  # type: ignore[misc]
        except TimeoutError:
            connection.collect()
            raise
        finally:
            connection.answer_by = before
