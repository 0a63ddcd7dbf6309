"""The check for another suite that uses this host's name on the same broker.

Both suites would run with one host's settings. On RabbitMQ each suite's watchdog consumes from a
queue that is named after its host, and no message is sent to that queue. On Redis each suite leaves
a text of its own under that name, and finds the text of the other suite.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

#: The prefix of the name of the queue or key. The names of app and host follow: another app on this
#: host, such as the quickstart, is no conflict.
PREFIX = "warren.suite."
#: Seconds for which another suite must be seen before it is reported. It may be an earlier run of
#: this suite: on RabbitMQ a run whose host lost its power, until the broker drops its connection
#: after two missed heartbeats; on Redis a run that has looked once more just before its end.
AT_LEAST = {"amqp": 180.0, "redis": 30.0}
#: Seconds without a sign of the other suite after which it is gone.
GONE = 130.0
#: The most seconds between two looks over a connection to RabbitMQ. That is less than a heartbeat
#: of Kind.MONITOR, because RabbitMQ hears nothing but these looks.
LONGEST_PAUSE = 50.0


class NameConflict:
    """What one watchdog knows of other suites with its name.

    The name is APP.HOST.
    """

    def __init__(self, name: str) -> None:
        self._name = f"{PREFIX}{name}"
        self._identity = secrets.token_hex(8)
        self._first = self._last = float("-inf")
        self._able = False

    def seen(self, connection: Any, begin: bool, now: float) -> bool:
        """Return whether there is another suite with this name.

        begin: whether the connection is new. now: seconds. Raises the errors of the connection.
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
            # This user may not consume, so the answer is unknown. RabbitMQ would log each attempt.
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
            # The channel stays open as long as the connection: its consumer ends with the channel.
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
            return False  # an older server, or a user without this right
        return found is not None and found.decode(errors="replace") != self._identity
