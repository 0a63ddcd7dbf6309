"""What a consumer of Redis has taken and not acknowledged, kept in the database under kombu's keys."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads
from redis.exceptions import ResponseError

from warren.broker.most_rejected import MOST, MOST_BYTES, tell
from warren.broker.payloads import longest, new_tag
from warren.broker.queues import REJECTED, SOURCE
from warren.broker.redis_bindings import Entry, entry_of

#: Messages that one look gives back at most: the main loop waits for it.
_AT_ONCE = 300
#: An entry may be so much longer than the message on its list: JSON writes what is no ASCII as six characters for two.
LONGER = 3


def later_key(channel: Any) -> str:
    """Return the key of the index of what is due later."""
    return f"{channel.unacked_key}_later"


class QoS(redis.QoS):
    """Notes for each unacknowledged message the queue that it came from, in the place of exchange and routing key.

    kombu gives a message back by those two: to every queue that is bound for them, so that a message of
    one queue comes back in two. The message itself keeps both: whoever takes it next finds them in it.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """As kombu's, which reads exchange and routing key from the message's delivery_info."""
        info = message.delivery_info
        if SOURCE not in info:
            self._noted(super().append, message, delivery_tag)
            return
        message.delivery_info = {**info, "exchange": "", "routing_key": info[SOURCE]}
        try:
            self._noted(super().append, message, delivery_tag)
        finally:
            message.delivery_info = info

    def ack(self, delivery_tag: str) -> None:
        """As kombu's."""
        self._noted(super().ack, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """As kombu's."""
        self._noted(super().reject, delivery_tag, requeue)

    # -- what was rejected ---------------------------------------------------------------------------------------------

    def bound_rejected(self) -> None:
        """Drop the oldest rejected messages that are too many, or too large together."""
        key, dropped = self.channel.global_keyprefix + REJECTED, 0
        with self.channel.conn_or_acquire() as client:
            count = client.llen(REJECTED)
            if count > MOST:
                client.ltrim(key, 0, MOST - 1)
                dropped, count = count - MOST, MOST
            with suppress(ResponseError):  # a user who may not ask has the bound by number
                while count and (client.memory_usage(key, samples=0) or 0) > MOST_BYTES:
                    share = max(1, count // 20)
                    client.ltrim(key, 0, -1 - share)
                    dropped, count = dropped + share, count - share
        if dropped:
            tell(dropped, REJECTED)

    # -- what is due later: it stays among the unacknowledged, with an index of its own -------------------------------
    # In kombu's index a moment would count from the visibility_timeout: made longer, all of them would come late by as much.

    def postpone(self, delivery_tag: str, until: float) -> None:
        """Have the message come again at that moment (seconds, wall clock)."""
        self._noted(self._postpone, delivery_tag, until)
        virtual.QoS.ack(self, delivery_tag)

    def _postpone(self, delivery_tag: str, until: float) -> None:
        with self.channel.conn_or_acquire() as client:
            # In this order, and no transaction, which goes on behind a command that fails: cut off in between, the message
            # stands in both and comes early. Given back meanwhile it has gone, and the look takes the tag off again.
            client.zadd(self.later_key, {delivery_tag: until})
            client.zrem(self.unacked_index_key, delivery_tag)

    def note_later(self, message: dict[str, Any], queue: str, until: float) -> None:
        """Note a new message that is to come to the queue at that moment."""
        self._noted(self._note_later, new_tag(), dumps([message, "", queue]), until)

    def _note_later(self, delivery_tag: str, entry: str, until: float) -> None:
        with self.pipe_or_acquire() as pipe:
            pipe.hset(self.unacked_key, delivery_tag, entry).zadd(self.later_key, {delivery_tag: until}).execute()

    def _bring(self) -> None:
        """Have come what is due, the oldest first. Without a lock: each comes by a transaction, and so once."""
        with self.channel.conn_or_acquire() as client:
            due = client.zrange(self.later_key, 0, time.time(), byscore=True, offset=0, num=_AT_ONCE)
            for tag in reversed(due):  # the last one is taken first
                self.restore_by_tag(tag, client)

    @property
    def later_key(self) -> str:
        """The index of what is due later, by its moment."""
        return later_key(self.channel)

    def _noted(self, do: Any, *arguments: Any) -> None:
        """Do it, a second time when a key was of another type: all of these commands may be repeated."""
        self.channel.keys.again(self._types, do, *arguments)

    @property
    def _types(self) -> dict[str, str]:
        return {self.unacked_key: "hash", self.unacked_index_key: "zset", self.later_key: "zset"}

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 10) -> None:
        """As kombu's, for a bounded number of messages at a time. Garbage in the keys costs a look."""
        self.channel.keys.refuse_lock(self.unacked_mutex_key, self.unacked_mutex_expire)
        try:
            self._bring()
            super().restore_visible(start, min(num or _AT_ONCE, _AT_ONCE), interval)
        except ResponseError as error:
            if not self.channel.keys.refuse_types(error, self._types):
                raise

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Give the message back. What is none is moved out of the way: kombu would end on it."""
        field = tag if isinstance(tag, bytes) else tag.encode()
        with self.channel.conn_or_acquire(client) as own:
            try:
                self._give_back(own, field, leftmost)
            except ValueError as error:
                self.channel.keys.refuse_field(self.unacked_key, self.unacked_index_key, field, str(error))

    def _give_back(self, client: Any, tag: bytes, leftmost: bool) -> None:
        """Put the message on its lists and take it off the notes, in one transaction. Raises ValueError, with the reason."""
        channel = self.channel

        def transaction(pipe: Any) -> None:
            entry = self._entry(pipe, tag)
            pipe.multi()
            self._remove_from_indices(tag, pipe)
            pipe.zrem(self.later_key, tag)
            if entry is None:
                return  # acknowledged meanwhile
            message = entry.message
            message["headers"]["redelivered"] = message["properties"]["delivery_info"]["redelivered"] = True
            for key in channel.lists_for(entry):
                (pipe.lpush if leftmost else pipe.rpush)(key, dumps(message))

        client.transaction(transaction, self.unacked_key)

    def _entry(self, pipe: Any, tag: bytes) -> Entry | None:
        """Return what is noted under the tag, None for nothing. Raises ValueError, with the reason."""
        most = self.channel.largest_message
        size = pipe.execute_command("HSTRLEN", self.channel.global_keyprefix + self.unacked_key, tag)
        if most is not None and size > LONGER * longest(most):
            raise ValueError(f"expected a message of at most {most} bytes, found {size} with its headers")
        content = pipe.hget(self.unacked_key, tag)
        if content is None:
            return None
        try:
            found = entry_of(loads(content))
        except RecursionError:
            raise ValueError("expected a message, found one that is nested too deeply") from None
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001  kombu's JSON makes dates, numbers and bytes, each with errors of its own
            raise ValueError(f"expected a message, found {type(error).__name__}") from None
        if not self.channel.lists_for(found):
            raise ValueError("expected a message that a queue is bound for")
        return found
