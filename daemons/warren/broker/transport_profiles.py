"""The kinds of connection to the broker and to the results, and the options of each.

No other file sets, removes or restores one of these options. `make_app` puts the table of its
settings into the app, and code that opens a connection asks for its kind. Celery's own code names
no kind: it gets the kind of the process (`use`), which is SENDER until the process sets another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from celery import Celery

from warren.config import Settings
from warren.config.schema import BrokerSettings

#: Seconds that RabbitMQ has for an answer other than a confirmation, and for taking the bytes that
#: are written to it. After a longer time a supervisor takes a daemon for hung.
RABBITMQ_ANSWER = 10.0
#: Seconds that Redis has for an answer. Two such timeouts in a row are still shorter than the time
#: after which a supervisor takes a daemon for hung.
REDIS_ANSWER = 5.0
#: Seconds that the broker may take for one answer to the watchdog.
LOOK = 3.0
#: The most seconds that beat waits for RabbitMQ to accept a connection or a message. Beat's
#: heartbeat must continue; beat then tries again.
_LEADER = 3.0
#: Seconds between two AMQP heartbeats on a consuming connection. After two missed heartbeats the
#: broker counts as dead.
_HEARTBEAT = 10
#: The key of `app.conf` whose value has the arguments of a kombu connection for each kind.
_TABLE = "warren_connections"


class Kind(StrEnum):
    """What a connection is for."""

    SENDER = "sender"  # sends tasks: programs, commands, pool children, beat
    CONSUMER = "consumer"  # a worker's first connection: takes tasks, and answers remote control
    REQUEUE = "requeue"  # a worker's second connection: copies to queues, and dead letters
    RESULTS = "results"  # results on RabbitMQ, or in Redis
    MONITOR = "monitor"  # the watchdog's looks at the broker, and at a Redis of results
    ALARMS = "alarms"  # the watchdog's second connection on RabbitMQ, which hears of alarms
    LEADER = "leader"  # the connection of a beat: it has the leadership, and sends ticks


@dataclass(frozen=True)
class RabbitMQ:
    """The options of a connection to RabbitMQ. Times are in seconds.

    confirms: whether publishing waits for the broker's confirmation. publish_timeout: how long the
    broker may take no messages; after it, publishing and each request with an answer raise NotTaken
    (None: no limit). connect_timeout: for one attempt. heartbeat: between two AMQP heartbeats (0:
    no heartbeats); a heartbeat in the broker's URL replaces this one. read_timeout: for one read of
    the socket (None: Warren sets no limit). write_timeout: for one write.
    """

    confirms: bool
    publish_timeout: float | None
    connect_timeout: float
    heartbeat: float | None = 0
    read_timeout: float | None = None
    write_timeout: float = RABBITMQ_ANSWER

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a kombu connection."""
        options: dict[str, Any] = {
            "confirm_publish": self.confirms,
            "publish_timeout": self.publish_timeout,
            "write_timeout": self.write_timeout,
        }
        if self.read_timeout is not None:
            options["read_timeout"] = self.read_timeout
        return {
            "heartbeat": self.heartbeat,
            "connect_timeout": self.connect_timeout,
            "transport_options": options,
        }


@dataclass(frozen=True)
class Redis:
    """The options of a connection to Redis.

    answer: seconds for one answer. connect: seconds to connect; None: as many as `answer`.

    Redis needs no confirmations, because it answers each write.
    """

    answer: float
    connect: float | None = None

    def sockets(self) -> dict[str, Any]:
        """Return the arguments of redis-py."""
        connect = {} if self.connect is None else {"socket_connect_timeout": self.connect}
        return {"socket_timeout": self.answer, **connect}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a kombu connection."""
        return {"transport_options": self.sockets()}


#: The kinds whose options no setting changes on Redis.
ON_REDIS = {
    Kind.RESULTS: Redis(REDIS_ANSWER),  # the results may be on another server than the broker
    Kind.MONITOR: Redis(LOOK, LOOK),
    Kind.LEADER: Redis(REDIS_ANSWER, REDIS_ANSWER),
}


def of_redis(broker: BrokerSettings) -> dict[Kind, Redis]:
    """Return the options of each kind on Redis.

    A worker needs no second connection there.
    """
    usual = Redis(REDIS_ANSWER, broker.connect_timeout)
    return {Kind.SENDER: usual, Kind.CONSUMER: usual, **ON_REDIS}


def of_rabbitmq(broker: BrokerSettings, heartbeat: float | None) -> dict[Kind, RabbitMQ]:
    """Return the options of each kind on RabbitMQ.

    heartbeat: seconds between two heartbeats of a worker.
    """
    connect = broker.connect_timeout
    look = RabbitMQ(False, 0.0, connect, read_timeout=LOOK, write_timeout=LOOK)
    return {
        # When the broker does not accept a message, its publisher gets an error. Without a
        # confirmation the message would be lost silently.
        Kind.SENDER: RabbitMQ(True, broker.publish_timeout or None, connect),
        # Under a memory or disk alarm the confirmation never comes. If the worker's own loop waited
        # for one, it would not drain the queue that caused the alarm. And when the broker does not
        # read the connection, a request that has an answer is refused at once.
        Kind.CONSUMER: RabbitMQ(False, 0.0, connect, heartbeat),
        # This connection asks for each confirmation and does not wait: the worker's loop reads the
        # confirmations.
        Kind.REQUEUE: RabbitMQ(False, 0.0, connect, heartbeat),
        # A result is only written. If it waited for its confirmation, its task would not end.
        Kind.RESULTS: RabbitMQ(False, 0.0, connect),
        # The looks are more frequent than the heartbeats (name_conflict.py). By missing heartbeats
        # the broker drops the connection of a watchdog whose host has lost its power.
        Kind.MONITOR: replace(look, heartbeat=60),
        # Nothing waits for a confirmation, because under an alarm none comes. No heartbeats:
        # nothing is written during an alarm, nor by a user who may not publish.
        Kind.ALARMS: look,
        # RabbitMQ notices a dead leader's connection within two heartbeats.
        Kind.LEADER: RabbitMQ(True, _LEADER, min(_LEADER, connect), heartbeat=5),
    }


def arguments(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the arguments of a kombu connection for each kind that the broker has."""
    broker = settings.broker
    if broker.kind == "rabbitmq":
        table = of_rabbitmq(broker, _heartbeat(settings))
        return {kind.value: made.arguments() for kind, made in table.items()}
    if broker.kind == "redis":
        return {kind.value: made.arguments() for kind, made in of_redis(broker).items()}
    # The embedded broker is directories, so there is nothing to wait for.
    return {kind.value: {"transport_options": {}} for kind in Kind}


def connection_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings by which Celery connects. At first each connection is a sender's."""
    table = arguments(settings)
    return {
        _TABLE: table,
        "broker_connection_timeout": settings.broker.connect_timeout,
        "broker_heartbeat": _heartbeat(settings),  # Celery uses this for a worker's own connection
        "broker_transport_options": dict(table[Kind.SENDER]["transport_options"]),
        **_of_results(Kind.RESULTS),
    }


def connection(app: Celery, kind: Kind) -> Any:
    """Return a kombu connection of this kind, which is not open yet."""
    return app.connection_for_write(**app.conf[_TABLE][kind])


def use(app: Celery, kind: Kind) -> None:
    """Make this the kind of each connection that this process opens without naming a kind."""
    app.conf.broker_transport_options.update(app.conf[_TABLE][kind]["transport_options"])


def use_for_results(app: Celery, kind: Kind) -> None:
    """Make this the kind of the connections to a Redis of results."""
    app.conf.maps[0].update(_of_results(kind))  # before what a project sets


def _heartbeat(settings: Settings) -> float | None:
    heartbeat: float | None = settings.celery.get("broker_heartbeat", _HEARTBEAT)
    return heartbeat


def _of_results(kind: Kind) -> dict[str, Any]:
    return {f"redis_{name}": value for name, value in ON_REDIS[kind].sockets().items()}
