"""The check for another suite with this host's name on the same broker.

Both suites would run with one host's settings. RabbitMQ: each suite's watchdog consumes from a
queue of its host's name, into which no message is sent. Redis: each suite leaves a text of its own
under that name, and finds the other's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

#: The prefix of the queue or key; the names of app and host follow: another app on this host, such
#: as the quickstart, is no fault.
PREFIX = "warren.suite."
#: Seconds for which another suite is seen before it is reported. On RabbitMQ it may be this suite's
#: predecessor, which lost its power: its connection is dropped after two heartbeats. On Redis it
#: may have looked once more before it ended.
AT_LEAST = {"amqp": 180.0, "redis": 30.0}
#: Seconds without an observation of the other suite after which it is gone.
GONE = 130.0
#: The most seconds between two looks over a connection to RabbitMQ: less than a heartbeat of
#: Kind.MONITOR, because the looks are what RabbitMQ hears of it.
LONGEST_PAUSE = 50.0


class NameConflict:
    """What one watchdog knows of other suites of its name, which is APP.HOST."""

    def __init__(self, name: str) -> None:
        self._name = f"{PREFIX}{name}"
        self._identity = secrets.token_hex(8)
        self._first = self._last = float("-inf")
        self._able = False

    def seen(self, connection: Any, begin: bool, now: float) -> bool:
        """Return whether there is another suite of this name.

        begin: the connection is new. now: seconds. Raises the errors of the connection.
        """
        kind = connection.transport.driver_type
        if kind not in AT_LEAST:
            return False  # the embedded broker belongs to one host
        look: Callable[[Any, bool], bool] = self._of_rabbitmq if kind == "amqp" else self._of_redis
        if look(connection, begin):
            if now - self._last > GONE:
                self._first = now
            self._last = now
        return now - self._last <= GONE and self._last - self._first >= AT_LEAST[kind]

    def _of_rabbitmq(self, connection: Any, begin: bool) -> bool:
        if begin:
            self._able = self._consume(connection)
        if not self._able:
            # This user may not consume: the answer is unknown, and RabbitMQ would log each attempt.
            return False
        channel = connection.channel()
        try:
            return int(channel.queue_declare(self._name, passive=True).consumer_count) > 1
        except connection.channel_errors:
            return False
        finally:
            if connection.connected and channel.is_open:
                channel.close()

    def _consume(self, connection: Any) -> bool:
        try:
            # The channel stays open with the connection: a closed channel takes its consumer along.
            channel = connection.channel()
            channel.queue_declare(self._name, durable=False, auto_delete=True)
            channel.basic_consume(self._name, no_ack=True, callback=lambda message: None)
        except connection.channel_errors:
            return False
        return True

    def _of_redis(self, connection: Any, begin: bool) -> bool:
        # Only processes that use Redis load its client.
        from redis.exceptions import ResponseError

        try:
            found = connection.default_channel.client.set(
                self._name, self._identity, ex=int(GONE), get=True
            )
        except ResponseError:
            return False  # an older server, or a user without the right
        return found is not None and found.decode(errors="replace") != self._identity
