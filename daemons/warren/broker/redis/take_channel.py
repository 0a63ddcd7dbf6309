"""kombu's channel of Redis with another request for the next message: a take in one step.

take_script.py explains the take. This class replaces methods of kombu (5.7, see kombu_version.py)
and keeps their names: kombu's poller calls the request "BRPOP".
"""

from __future__ import annotations

from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import Any

from kombu.transport import redis
from redis.exceptions import ResponseError

from warren.broker.payloads import read, stand_in
from warren.broker.queue_names import SOURCE
from warren.broker.redis.delivery_tags import is_take
from warren.broker.redis.key_cleanup import KeyCleanup
from warren.broker.redis.lost_messages import LOST
from warren.broker.redis.take_script import Taken, TakeScript
from warren.broker.redis.wakeup_key import bell_of


class TakingChannel(redis.Channel):
    """The part of Warren's channel that takes messages."""

    #: The most bytes of a body; None: no limit.
    largest_message: int | None
    keys: KeyCleanup

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        self.take = TakeScript(self)
        self._no_ack: set[str] = set()
        super().__init__(connection, **kwargs)
        known = connection.client
        #: What distinguishes this database and its keys from others. The value is kept in the
        #: channel, because a closed channel has no connection any more.
        self.broker = (
            known.hostname,
            known.port,
            known.virtual_host,
            self.global_keyprefix,
            self.unacked_key,
        )

    def list_keys(self, queues: list[str]) -> dict[str, str]:
        """Return the keys of the lists of these queues, and their type."""
        return {
            self._q_for_pri(queue, step): "list" for queue in queues for step in self.priority_steps
        }

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Consume as kombu does. Messages of a queue without acknowledgements are not noted."""
        (
            self._no_ack.add
            if kwargs.get("no_ack", args[0] if args else False)
            else self._no_ack.discard
        )(queue)
        return super().basic_consume(queue, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Get the next message as kombu does.

        no_ack: acknowledge the message at once.
        """
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if no_ack and message is not None:
            self.qos.ack(message.delivery_tag)
        return message

    def notes(self, queue: str) -> bool:
        """Return whether messages of the queue are noted until they are acknowledged."""
        return bool(self.ack_emulation) and queue not in self._no_ack

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if queues:
            self._in_poll = self.client.connection
            self._brpop_sent_at = monotonic()
            self.take.ask(self._in_poll, queues, timeout or self.brpop_timeout)

    def _brpop_read(self, **options: Any) -> bool:
        """Read the answer to the request for the next message, and deliver the message.

        Raises Empty. The answer is read completely before the message is examined. So whatever
        happens to the message, the connection is ready for the next request.
        """
        try:
            taken = self.take.answer(self.client, **options)
        except ResponseError as error:
            # The request names all queues at once. A key that is not a list would keep the worker
            # from every queue.
            bells = {bell_of(queue): "zset" for queue in self.active_queues}
            if not self.keys.refuse_types(
                error, {**self.list_keys(self.active_queues), **self.qos.types, **bells}
            ):
                raise
            raise Empty from None
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if taken is None:
            raise Empty
        self._queue_cycle.rotate(taken.queue)
        self.connection._deliver(self._payload(taken), taken.queue)
        return True

    def _get(self, queue: str) -> dict[str, Any]:
        """Return the next message at once. Raises Empty."""
        with self.conn_or_acquire() as client:
            taken = self.keys.again(
                {**self.list_keys([queue]), **self.qos.types}, self.take.now, client, queue
            )
            self._maybe_update_queues_expire(client, queue)
        if taken is None:
            raise Empty
        return self._payload(taken)

    def _poll_error(self, type: str, **options: Any) -> None:  # noqa: A002  kombu's name
        if type == "BRPOP":
            self._brpop_read(**options)  # kombu would read an answer and drop its message
        else:
            super()._poll_error(type, **options)

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._in_poll is connection:
            self.take.broke()
        super()._on_connection_disconnect(connection)

    def close(self) -> None:
        """End the request for a message, and then close as kombu does.

        kombu would pass a message that arrives meanwhile to a consumer that is being closed.
        """
        if self._in_poll:
            self._end_request()
        super().close()

    def _end_request(self) -> None:
        if self.take.waits:
            self.client.connection.disconnect()  # a wait takes no message
        else:
            # A failure here is reported by the next step of the close. The tag is among the lost
            # tags, so its message will be looked for.
            with suppress(*self.connection_errors, ResponseError):
                taken = self.take.answer(self.client)
                if taken is not None and is_take(taken.tag):
                    LOST.add(self.broker, taken.tag)
                    self.qos.restore_by_tag(taken.tag)
        self._in_poll = None

    def _payload(self, taken: Taken) -> dict[str, Any]:
        try:
            if taken.size > len(taken.content):
                expected = f"expected a message of at most {self.largest_message} bytes"
                raise ValueError(f"{expected}, found {taken.size} with its headers")
            payload = read(taken.content, self.largest_message)
        except ValueError as error:
            payload = stand_in(str(error), taken.queue, taken.content)
        # The tag in a message may be another message's tag: that message would be lost.
        payload["properties"]["delivery_tag"] = taken.tag
        payload["properties"]["delivery_info"][SOURCE] = taken.queue
        return payload
