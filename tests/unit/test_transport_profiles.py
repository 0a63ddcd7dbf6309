"""Each kind of connection has what it must have, on each kind of broker."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import warren
from warren.app.factory import make_app
from warren.broker.transport_profiles import Kind, connection, use, use_for_results
from warren.config import Settings

SOURCE = Path(warren.__file__).parent
PROFILES = SOURCE / "broker" / "transport_profiles.py"
RABBITMQ = "[broker]\nurl = amqp://127.0.0.1:1//\npublish_timeout = 7s\n"
REDIS = "[broker]\nurl = redis://127.0.0.1:1/0\nconnect_timeout = 2s\n"
#: What an operator may add, and what Warren decides.
OPERATORS = (
    '[celery]\nbroker_heartbeat = 8\nbroker_transport_options = {"frame_max": 9000, '
    '"socket_keepalive": true, "confirm_publish": "no", "socket_timeout": 99}\n'
)
#: For each kind on RabbitMQ: confirms, publish_timeout, heartbeat, connect_timeout, read_timeout,
#: write_timeout.
ON_RABBITMQ = {
    Kind.SENDER: (True, 7.0, 0, 5.0, None, 10.0),
    Kind.CONSUMER: (False, 0.0, 8, 5.0, None, 10.0),
    Kind.REQUEUE: (False, 0.0, 8, 5.0, None, 10.0),
    Kind.RESULTS: (False, 0.0, 0, 5.0, None, 10.0),
    Kind.MONITOR: (False, 0.0, 60, 5.0, 3.0, 3.0),
    Kind.ALARMS: (False, 0.0, 0, 5.0, 3.0, 3.0),
    Kind.LEADER: (True, 3.0, 5, 3.0, None, 10.0),
}
#: For each kind on Redis: seconds for an answer, and to connect.
ON_REDIS = {
    Kind.SENDER: (5.0, 2.0),
    Kind.CONSUMER: (5.0, 2.0),
    Kind.RESULTS: (5.0, 2.0),
    Kind.MONITOR: (3.0, 3.0),
    Kind.LEADER: (5.0, 5.0),
}
#: Names of options that only the file of the profiles writes.
OPTIONS = {
    *("confirm_publish", "publish_timeout", "read_timeout", "write_timeout"),
    *("socket_timeout", "socket_connect_timeout", "connect_timeout", "broker_heartbeat"),
    *("redis_socket_timeout", "redis_socket_connect_timeout", "broker_connection_timeout"),
}
#: Where these words are names of options in INI files and URLs.
OTHER_SENSE = "config/"


def made(settings: Settings, kind: Kind) -> Any:
    """A connection of this kind that is not open."""
    return connection(make_app(settings), kind)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_on_rabbitmq(loaded: Callable[[str], Settings], kind: Kind) -> None:
    """A sender and a leader wait for confirmations, for a bounded time; nothing else does."""
    settings = loaded(RABBITMQ + OPERATORS)
    found = made(settings, kind)
    options = found.transport_options
    assert ON_RABBITMQ[kind] == (
        options["confirm_publish"],
        options["publish_timeout"],
        found.heartbeat,
        found.connect_timeout,
        options.get("read_timeout"),
        options["write_timeout"],
    )
    # Whatever the kind: the bound of a message, and what the operator has added.
    assert options["largest_message"] == settings.broker.largest_message
    assert options["frame_max"] == 9000


@pytest.mark.parametrize("kind", ON_REDIS)
def test_each_kind_on_redis(loaded: Callable[[str], Settings], kind: Kind) -> None:
    """No connection waits for Redis without a limit."""
    settings = loaded(REDIS + OPERATORS)
    options = made(settings, kind).transport_options
    assert ON_REDIS[kind] == (options["socket_timeout"], options["socket_connect_timeout"])
    assert options["largest_message"] == settings.broker.largest_message
    assert options["socket_keepalive"] is True


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_on_the_embedded_broker(loaded: Callable[[str], Settings], kind: Kind) -> None:
    """It is directories: each connection has the same options."""
    app = make_app(loaded(""))
    assert connection(app, kind).transport_options == app.conf.broker_transport_options


def test_a_publish_timeout_of_0_is_no_limit_for_a_sender_alone(
    loaded: Callable[[str], Settings],
) -> None:
    """A worker's connection with no limit would hold its loop up for the whole of an alarm."""
    settings = loaded(RABBITMQ.replace("7s", "0"))
    limits = {kind: made(settings, kind).transport_options["publish_timeout"] for kind in Kind}
    assert [kind for kind in Kind if limits[kind] is None] == [Kind.SENDER]


@pytest.mark.parametrize("head", ["", RABBITMQ, REDIS])
def test_a_worker_and_its_pool_child(loaded: Callable[[str], Settings], head: str) -> None:
    """What Celery opens in a worker is a consumer's, and in its pool child a sender's."""
    app = make_app(loaded(head + OPERATORS))
    program = app.connection_for_write().transport_options
    use(app, Kind.CONSUMER)
    consumer = app.connection_for_read().transport_options
    assert consumer == connection(app, Kind.CONSUMER).transport_options
    if head == RABBITMQ:
        assert (consumer["confirm_publish"], consumer["publish_timeout"]) == (False, 0.0)
    use(app, Kind.SENDER)
    assert app.connection_for_write().transport_options == program


def test_a_redis_of_results(loaded: Callable[[str], Settings]) -> None:
    """It is bounded for tasks, and more narrowly for the watchdog."""
    app = make_app(loaded(RABBITMQ + "[results]\nurl = redis://127.0.0.1:1/0\n"))
    assert app.conf.redis_socket_timeout == 5.0
    use_for_results(app, Kind.MONITOR)
    assert app.conf.redis_socket_timeout == app.conf.redis_socket_connect_timeout == 3.0


def test_no_other_file_sets_an_option_of_a_connection() -> None:
    """An option that one file sets and another removes has an effect that no file tells."""
    files = [path for path in SOURCE.rglob("*.py") if path != PROFILES]
    found = {
        (str(path.relative_to(SOURCE)), name)
        for path in files
        for name in written(ast.parse(path.read_text(encoding="utf-8")))
        if not str(path.relative_to(SOURCE)).startswith(OTHER_SENSE)
    }
    assert not found


def test_options_that_a_file_sets_are_seen() -> None:
    """Each way in which they were once set is one that the test above would notice."""
    for text in (
        'x = {"confirm_publish": True}',
        'options.pop("publish_timeout")',
        'options["write_timeout"] = 1',
        "conf.update(broker_heartbeat=1)",
        "Redis.from_url(url, socket_timeout=5)",
        "app.connection_for_write(transport_options=options)",
        "app.connection_for_read(heartbeat=5)",
    ):
        assert list(written(ast.parse(text))), text
    assert not list(written(ast.parse("with app.connection_for_write() as one: pass")))


def written(tree: ast.AST) -> Iterator[str]:
    """Yield what the code says of options: as a key, as an argument, at the making of a
    connection.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in OPTIONS:
            yield str(node.value)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if called in ("connection_for_write", "connection_for_read") and (
                node.args or node.keywords
            ):
                yield called
            for keyword in node.keywords:
                if keyword.arg in OPTIONS:
                    yield str(keyword.arg)
