"""The unacknowledged messages of a consumer of Redis, kept in the database under kombu's keys."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads
from redis.exceptions import ResponseError

from warren.broker.payloads import longest, new_tag
from warren.broker.queue_names import REJECTED, SOURCE
from warren.broker.redis.bindings import Entry, entry_of
from warren.broker.redis.delivery_tags import is_take
from warren.broker.redis.lost_messages import LOST
from warren.broker.redis.requeue_script import left_behind, put_back
from warren.broker.redis.write_refusal import is_refused_write
from warren.broker.rejection_limits import MOST, MOST_BYTES, tell
from warren.logs.events import Event
from warren.logs.setup import logger

#: The most messages that one look requeues: the main loop waits for the look.
_AT_ONCE = 300
#: How many times longer an entry may be than the message on its list. JSON writes a character that
#: is not ASCII, which has two bytes, as six characters.
LONGER = 3


def later_key(channel: Any) -> str:
    """Return the key of the index of messages that are due later."""
    return f"{channel.unacked_key}_later"


class QoS(redis.QoS):
    """kombu's QoS, with a note for each unacknowledged message of the queue that it came from.

    The name of this queue replaces exchange and routing key. kombu requeues a message by exchange
    and routing key, to every queue that is bound for these: a message of one queue would come back
    in two queues. The message itself keeps exchange and routing key, so its next receiver finds
    them.
    """

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note the message as kombu does.

        kombu reads exchange and routing key from the message's delivery_info.
        """
        if is_take(delivery_tag):
            # The script that took the message has noted it. A second note could bring back a
            # message that was requeued meanwhile.
            virtual.QoS.append(self, message, delivery_tag)
            return
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
        """Acknowledge as kombu does, but without a transaction.

        A Redis without memory refuses a transaction, and an acknowledgement frees memory.
        """
        self._noted(self._forget, delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject as kombu does."""
        if requeue:
            self._noted(super().reject, delivery_tag, requeue)
        else:
            self.ack(delivery_tag)

    def _forget(self, delivery_tag: str) -> None:
        # The note is removed first: after a cut in between, a tag without a note stays in the
        # index, and the search for overdue messages removes this tag. In the other order the note
        # would never be found.
        with self.channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            pipe.hdel(self.unacked_key, delivery_tag).zrem(
                self.unacked_index_key, delivery_tag
            ).execute()

    # -- rejected messages -------------------------------------------------------------------------

    def bound_rejected(self) -> None:
        """Drop the oldest rejected messages, while they are too many or too large together."""
        key, dropped = self.channel.global_keyprefix + REJECTED, 0
        with self.channel.conn_or_acquire() as client:
            count = client.llen(REJECTED)
            if count > MOST:
                client.ltrim(key, 0, MOST - 1)
                dropped, count = count - MOST, MOST
            with suppress(ResponseError):  # for a user who may not ask, only the number is bounded
                while count and (client.memory_usage(key, samples=0) or 0) > MOST_BYTES:
                    share = max(1, count // 20)
                    client.ltrim(key, 0, -1 - share)
                    dropped, count = dropped + share, count - share
        if dropped:
            tell(dropped, REJECTED)

    # -- delayed messages: unacknowledged messages with an index of their own
    # ------------------------
    # In kombu's index a time counts from the visibility_timeout. If that timeout is made longer,
    # all these messages would come late by the same time.

    def postpone(self, delivery_tag: str, until: float) -> None:
        """Let the message come again at `until` (seconds since the epoch)."""
        self._noted(self._postpone, delivery_tag, until)
        virtual.QoS.ack(self, delivery_tag)

    def _postpone(self, delivery_tag: str, until: float) -> None:
        with self.channel.conn_or_acquire() as client:
            # The order matters. A transaction would not do, because it continues after a command
            # that fails. After a cut in between, the message is in both indexes and comes early. If
            # the message was requeued meanwhile, it is gone, and the look removes the tag again.
            client.zadd(self.later_key, {delivery_tag: until})
            client.zrem(self.unacked_index_key, delivery_tag)

    def note_later(self, message: dict[str, Any], queue: str, until: float) -> None:
        """Note a new message that must come to the queue at `until` (seconds since the epoch)."""
        self._noted(self._note_later, new_tag(), dumps([message, "", queue]), until)

    def _note_later(self, delivery_tag: str, entry: str, until: float) -> None:
        with self.pipe_or_acquire() as pipe:
            pipe.hset(self.unacked_key, delivery_tag, entry).zadd(
                self.later_key, {delivery_tag: until}
            ).execute()

    def _bring(self) -> None:
        """Requeue the due messages, the oldest message first.

        No lock is needed: each message is requeued in one step, and so only once.
        """
        with self.channel.conn_or_acquire() as client:
            due = client.zrange(
                self.later_key, 0, time.time(), byscore=True, offset=0, num=_AT_ONCE
            )
            for tag in reversed(due):  # the last message on the list is taken first
                self.restore_by_tag(tag, client)

    @property
    def later_key(self) -> str:
        """Return the index of the messages that are due later, by their time."""
        return later_key(self.channel)

    def _noted(self, do: Any, *arguments: Any) -> None:
        """Call `do`, and call it a second time if a key was of another type.

        All commands that are called in this way may be repeated.
        """
        self.channel.keys.again(self.types, do, *arguments)

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each key in which unacknowledged messages are kept."""
        return {self.unacked_key: "hash", self.unacked_index_key: "zset", self.later_key: "zset"}

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 10) -> None:
        """Requeue as kombu does, a bounded number of messages at a time.

        Garbage in the keys spoils only one look.
        """
        self.channel.keys.refuse_lock(self.unacked_mutex_key, self.unacked_mutex_expire)
        try:
            self._bring()
            self._requeue_left()
            super().restore_visible(start, min(num or _AT_ONCE, _AT_ONCE), interval)
        except ResponseError as error:
            self._pass_over(error)

    def _pass_over(self, error: ResponseError) -> None:
        """Raise the error, unless the next look may succeed.

        The next look may succeed when garbage was moved away, or when Redis takes no writes for
        now. In the second case the request for the next message is refused as well, and the log
        says so.
        """
        if not is_refused_write(error) and not self.channel.keys.refuse_types(error, self.types):
            raise error

    def requeue_left(self) -> None:
        """Requeue the messages of this host's dead processes; log the number.

        Messages that this process has without knowing it are requeued, too.
        """
        try:
            self._requeue_left()
        except ResponseError as error:
            self._pass_over(error)

    def _requeue_left(self) -> None:
        channel, requeued = self.channel, 0
        with channel.conn_or_acquire() as client:
            index = channel.global_keyprefix + self.unacked_index_key
            # The messages go to the end of the list from which workers take, the oldest message
            # last: it is the next message that is taken.
            for tag in left_behind(client, index, channel.broker)[:_AT_ONCE]:
                requeued += self.restore_by_tag(tag, client)
                LOST.found(channel.broker, tag)
        if requeued:
            logger().warning(Event.MESSAGES_RESTORED, messages=requeued)

    def restore_unacked(self, client: Any = None) -> None:
        """Requeue as kombu does, in the order of the takes: the oldest message is taken next.

        A message that Redis does not accept now is requeued later, unless this process runs it.
        """
        try:
            with self.channel.conn_or_acquire(client) as own:
                for tag in reversed(self._delivered):
                    self.restore_by_tag(tag, client=own)
        except Exception:
            for tag in self._delivered:
                if not LOST.at_work(tag):
                    LOST.add(self.channel.broker, tag)
            raise
        self._delivered.clear()

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> bool:
        """Requeue the message under the tag; return whether it was there.

        An entry that is not a message is moved away: kombu would end on it.
        """
        field = tag if isinstance(tag, bytes) else tag.encode()
        with self.channel.conn_or_acquire(client) as own:
            try:
                return self._requeue(own, field, leftmost)
            except ValueError as error:
                self.channel.keys.refuse_field(
                    self.unacked_key, self.unacked_index_key, field, str(error)
                )
                return False

    def _requeue(self, client: Any, tag: bytes, leftmost: bool) -> bool:
        """Put the message on its lists and remove its note, in one step.

        Raises ValueError with the reason.
        """
        kept = (self.unacked_key, self.unacked_index_key, self.later_key)
        size, entry = self._entry(client, tag)
        lists: list[tuple[str, str]] = []
        content = ""
        if entry is not None:
            message, lists = entry.message, self.channel.lists_for(entry)
            if not lists:
                raise ValueError("expected a message that a queue is bound for")
            message["headers"]["redelivered"] = message["properties"]["delivery_info"][
                "redelivered"
            ] = True
            content = dumps(message)
        end = "LPUSH" if leftmost else "RPUSH"
        return put_back(client, self.channel.global_keyprefix, kept, lists, tag, size, content, end)

    def _entry(self, client: Any, tag: bytes) -> tuple[int, Entry | None]:
        """Return the length of the note under the tag, and the entry in it; None when there is no
        note.

        Raises ValueError with the reason.
        """
        most = self.channel.largest_message
        size = client.execute_command(
            "HSTRLEN", self.channel.global_keyprefix + self.unacked_key, tag
        )
        if most is not None and size > LONGER * longest(most):
            raise ValueError(
                f"expected a message of at most {most} bytes, found {size} with its headers"
            )
        content = client.hget(self.unacked_key, tag)
        if content is None:
            return 0, None
        try:
            return len(content), entry_of(loads(content))
        except RecursionError:
            raise ValueError(
                "expected a message, found a message that is nested too deeply"
            ) from None
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001
            # kombu's JSON makes dates, numbers and bytes, and each of them raises errors of its
            # own.
            raise ValueError(f"expected a message, found {type(error).__name__}") from None
