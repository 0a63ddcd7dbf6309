"""Messages that are sent one behind the other and waited for once: a broker's confirmation takes as
long for fifty as for one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from warren.broker.deadline import Deadline
from warren.broker.rabbitmq.confirming_channel import Channel


class SinglePublish:
    """What a broker says that has answered when publishing returns.

    `taken` and `refused` are ids of tasks.
    """

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.refused: set[str] = set()
        #: Whether the connection has failed while something was sent over it.
        self.broken = False

    def __enter__(self) -> SinglePublish:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to end."""

    @property
    def stands(self) -> bool:
        """Whether answers may still come."""
        return True

    def sent(self, identity: str) -> None:
        """Takes in that publishing has returned."""
        self.taken.add(identity)

    def abandon_task(self) -> None:
        """Takes what has no answer for refused."""

    def wait(self) -> None:
        """Returns when the broker has answered for each.

        Raises NotTaken, or what breaks a connection.
        """


class BatchPublish(SinglePublish):
    """RabbitMQ's answers. What is published on the channel within the block returns at once."""

    def __init__(self, channel: Channel) -> None:
        """Raises NotTaken when the broker takes nothing: then nothing was sent."""
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
        """Sends a task's message; its answer comes while somebody waits."""
        identity = str(message.properties["correlation_id"])
        try:
            self._channel.publish_later(partial(self._answer, identity), message, *args, **kwargs)
        except Exception:
            self.broken = True
            raise
        self._waiting.add(identity)

    def sent(self, identity: str) -> None:
        """Publishing has returned, which means nothing here."""

    def abandon_task(self) -> None:
        self.refused |= self._waiting
        self._waiting.clear()

    def wait(self) -> None:
        deadline = Deadline(self._channel.connection.publish_timeout if self.stands else 0.0)
        while self._waiting:
            self._channel.read_on(deadline, sent=True)

    def _answer(self, identity: str, taken: bool) -> None:
        if identity in self._waiting:  # else somebody has given it up
            self._waiting.discard(identity)
            (self.taken if taken else self.refused).add(identity)
