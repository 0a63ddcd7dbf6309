"""Who sends: of all beats of a fleet the one that holds the leadership, and what the next leader must know.

Embedded broker: one host, a lock and a file. RabbitMQ: an exclusive queue, and the leader sends
over the very connection that holds it: no leadership, no send. Redis: a key that expires. Everywhere the ids of the tasks follow
from entry and tick, so that a tick that two leaders send around a hand-over is one task.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO

from amqp.exceptions import ResourceLocked
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from warren.beat.memory import Memory, parse
from warren.broker.rabbitmq import NotTaken
from warren.broker.replies import Backend as Replies
from warren.config import Settings
from warren.errors import Unavailable

#: Seconds that a leader on Redis may be silent; it renews every second. Long beside the renewal: a late one is no lost one.
LEASE = 15.0
#: RabbitMQ notices a dead leader's connection within two of these (seconds).
HEARTBEAT = 5
#: Seconds that beat waits for RabbitMQ to accept a connection or a message, at most: its heart must go on. It tries again.
PATIENCE = 3.0
#: Seconds until a beat on RabbitMQ that was refused asks again: RabbitMQ writes each refusal into its own log.
ASK_AGAIN = 3.0


class Leader(Protocol):
    """The leadership as one beat sees it. Every method but `resign` raises Unavailable when the broker cannot be asked."""

    def lead(self) -> bool:
        """Takes or keeps the leadership; True while this beat has it."""

    def recall(self) -> dict[str, float]:
        """The last ticks that were taken care of, by whichever leader."""

    def keep(self, ticks: dict[str, float]) -> None:
        """Remembers them for the next leader."""

    def options(self) -> dict[str, Any]:
        """What `apply_async` needs so that the task is sent by the leader only."""

    def resign(self) -> None:
        """Lets another lead."""


def leader(settings: Settings, app: Celery) -> Leader:
    """The leadership that fits the broker of the settings."""
    if settings.broker.kind == "rabbitmq":
        return QueueLeader(app)
    if settings.broker.kind == "redis":
        return KeyLeader(app)
    return HostLeader(Memory(settings.app.state_dir / "beat" / "ticks.json"))


def names(app: Celery) -> tuple[str, str]:
    """What holds the leadership and the last ticks on the broker: one of each for an app, however many hosts it has."""
    return f"{app.main}.beat.leader", f"{app.main}.beat.ticks"


class HostLeader:
    """The only host: a lock beside the ticks is the leadership."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._lock: TextIO | None = None

    def lead(self) -> bool:
        # Beside the ticks, not in the run folder, which somebody may clean up under a running beat.
        path = self.memory.path.with_suffix(".lock")
        try:
            if self._lock is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = open(path, "a", encoding="utf-8")  # noqa: SIM115  held open for as long as this beat leads
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (BlockingIOError, PermissionError):
            return False
        except OSError as error:
            raise Unavailable(f"{path}: expected to lock it, found: {error.strerror}; free space, or its owner") from error

    def recall(self) -> dict[str, float]:
        return self.memory.read()

    def keep(self, ticks: dict[str, float]) -> None:
        try:
            self.memory.write(ticks)
        except OSError as error:
            text = f"{self.memory.path}: expected to write the last ticks, found: {error.strerror}; free space"
            raise Unavailable(text) from error

    def options(self) -> dict[str, Any]:
        return {}

    def resign(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class QueueLeader:
    """RabbitMQ: the leader's queue exists while the leader's connection does, and nobody else may touch it."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._leader, self._ticks = names(app)
        self._connection: Any = None
        self._leading = False
        self._refused = -ASK_AGAIN

    def lead(self) -> bool:
        with self._reached():
            if self._connection is None:
                self._connection = self.app.connection_for_write(
                    heartbeat=HEARTBEAT,
                    connect_timeout=min(PATIENCE, self.app.conf.broker_connection_timeout),
                    transport_options={"publish_timeout": PATIENCE},
                )
                self._connection.ensure_connection(max_retries=1, interval_start=0)
            if not self._leading and time.monotonic() - self._refused >= ASK_AGAIN:
                self._ask()
            self._pulse()
        return self._leading

    def recall(self) -> dict[str, float]:
        with self._reached():
            channel = self._connection.channel()
            self._declare(channel)
            message = channel.basic_get(self._ticks)
            ticks = parse(message.body) if message is not None else {}
            if message is not None:
                # A fresh copy first, then the acknowledgement: a queue that counts returns never loses it, and cut off in
                # between there are two, of which the older is dropped.
                self._publish(channel, ticks)
                channel.basic_ack(message.delivery_tag)
            channel.close()
        return ticks

    def keep(self, ticks: dict[str, float]) -> None:
        with self._reached():
            channel = self._connection.channel()
            self._publish(channel, ticks)
            channel.close()

    def options(self) -> dict[str, Any]:
        # Results that are sent to whoever asked: nobody here reads them. And to get them Celery would first ask the broker for a
        # queue, without an end and over whatever connection it can make: a beat that sends without being the leader.
        unread = {"ignore_result": True} if isinstance(self.app.backend, Replies) else {}
        return {"connection": self._connection, **unread}

    def resign(self) -> None:
        connection, self._connection, self._leading = self._connection, None, False
        if connection is not None:
            with suppress(OSError, *connection.connection_errors, *connection.channel_errors):
                connection.close()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """A lost connection is a lost leadership: its queue went with it, and whoever asks first leads next."""
        try:
            yield
        except NotTaken:
            raise  # an alarm: the connection stands, and with it the leadership
        except Exception as error:
            known = () if self._connection is None else (*self._connection.connection_errors, *self._connection.channel_errors)
            if not isinstance(error, (OperationalError, OSError, *known)):
                raise
            self.resign()
            raise Unavailable(str(error) or type(error).__name__) from error

    def _ask(self) -> None:
        channel = self._connection.channel()
        try:
            channel.queue_declare(self._leader, exclusive=True, durable=False, auto_delete=False)
        except ResourceLocked:
            self._refused = time.monotonic()  # another leads; the broker has closed the channel on which it was asked, no more
        else:
            channel.close()
            self._leading = True

    def _pulse(self) -> None:
        """Heartbeats both ways: a leader that the broker has given up must notice before it sends."""
        if not self._connection.connected:
            # Asked anything, kombu would connect anew by itself, and this beat would send without the leader's queue.
            raise ConnectionResetError("the connection was dropped: the broker had not answered in time")
        self._connection.heartbeat_check()
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=0.001)

    def _declare(self, channel: Any) -> None:
        arguments = {"x-max-length": 1, "x-overflow": "drop-head", "x-queue-type": self.app.conf.task_default_queue_type}
        channel.queue_declare(self._ticks, durable=True, auto_delete=False, arguments=arguments)

    def _publish(self, channel: Any, ticks: dict[str, float]) -> None:
        message = channel.prepare_message(json.dumps(ticks), None, "application/json", "utf-8", None, {"delivery_mode": 2})
        channel.basic_publish(message, exchange="", routing_key=self._ticks)


class KeyLeader:
    """Redis: the leader's key holds the leader's name for LEASE seconds, renewed at each turn."""

    RENEW = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pexpire', KEYS[1], ARGV[2])"
    RESIGN = "return redis.call('get', KEYS[1]) == ARGV[1] and redis.call('del', KEYS[1])"

    def __init__(self, app: Celery) -> None:
        self._redis: Redis = Redis.from_url(app.conf.broker_url.split(";")[0], socket_timeout=5, socket_connect_timeout=5)
        self._leader, self._ticks = names(app)
        self._name = secrets.token_hex(16)

    def lead(self) -> bool:
        lease = int(LEASE * 1000)
        try:
            # Compared and renewed in one step on the server: nobody renews a key that has become another's.
            renewed = self._redis.eval(self.RENEW, 1, self._leader, self._name, lease)
            return bool(renewed) or bool(self._redis.set(self._leader, self._name, nx=True, px=lease))
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def recall(self) -> dict[str, float]:
        try:
            return parse(self._redis.get(self._ticks) or b"{}")
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def keep(self, ticks: dict[str, float]) -> None:
        try:
            self._redis.set(self._ticks, json.dumps(ticks))
        except RedisError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def options(self) -> dict[str, Any]:
        return {}

    def resign(self) -> None:
        with suppress(RedisError):
            self._redis.eval(self.RESIGN, 1, self._leader, self._name)
