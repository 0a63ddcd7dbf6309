"""Messages that are sent one after the other, with one wait for all their confirmations.

A broker confirms fifty messages in the time that one confirmation takes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from warren.broker.deadline import Deadline
from warren.broker.rabbitmq.confirming_channel import Channel


class SinglePublish:
    """The answers of a broker that has answered each message when publishing returns.

    taken, refused: the ids of tasks.
    """

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.refused: set[str] = set()
        #: Whether the connection has failed while a message was sent over it.
        self.broken = False

    def __enter__(self) -> SinglePublish:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: each message has its answer."""

    @property
    def stands(self) -> bool:
        """Whether answers may still come."""
        return True

    def sent(self, identity: str) -> None:
        """Note that the publishing of this task has returned."""
        self.taken.add(identity)

    def refuse_unanswered(self) -> None:
        """Count the messages without an answer as refused."""

    def wait(self) -> None:
        """Return when the broker has answered for each message.

        Raises NotTaken, or the error that breaks the connection.
        """


class BatchPublish(SinglePublish):
    """The answers of RabbitMQ.

    Within the `with` block, publishing on the channel returns at once.
    """

    def __init__(self, channel: Channel) -> None:
        """Make sure that the broker takes messages.

        Raises NotTaken when the broker takes none. Nothing was sent then.
        """
        super().__init__()
        self._channel = channel
        self._waiting: set[str] = set()
        channel.ask_for_room(Deadline(channel.connection.publish_timeout))

    def __enter__(self) -> BatchPublish:
        self._channel.together = self
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.together = None

    @property
    def stands(self) -> bool:
        return self._channel.connection is not None

    def publish(self, message: Any, *args: Any, **kwargs: Any) -> None:
        """Send a task's message. The broker's answer comes during `wait`."""
        identity = str(message.properties["correlation_id"])
        try:
            self._channel.publish_later(partial(self._answer, identity), message, *args, **kwargs)
        except Exception:
            self.broken = True
            raise
        self._waiting.add(identity)

    def sent(self, identity: str) -> None:
        """Do nothing: on RabbitMQ, publishing returns before the broker's answer."""

    def refuse_unanswered(self) -> None:
        self.refused |= self._waiting
        self._waiting.clear()

    def wait(self) -> None:
        deadline = Deadline(self._channel.connection.publish_timeout if self.stands else 0.0)
        while self._waiting:
            self._channel.read_on(deadline, sent=True)

    def _answer(self, identity: str, taken: bool) -> None:
        if identity in self._waiting:  # otherwise the message was given up before
            self._waiting.discard(identity)
            (self.taken if taken else self.refused).add(identity)
