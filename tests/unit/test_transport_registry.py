"""kombu uses Warren's transports, whatever a program did before it made Warren's app."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kombu import transport

from support.wait import run_to_end
from warren.broker import transport_registry
from warren.broker.transport_registry import take_names

PROGRAM = """
import sys
from pathlib import Path
from kombu import Connection

before = Connection(sys.argv[1]).get_transport_cls()
from warren.app.factory import make_app
from warren.config import load

with make_app(load(Path(sys.argv[2]))).connection_for_write() as connection:
    print(before.__module__, connection.get_transport_cls().__module__)
"""
KINDS = [
    ("amqp://127.0.0.1:1//", "kombu.transport.pyamqp warren.broker.rabbitmq.connection"),
    ("amqps://127.0.0.1:1//", "kombu.transport.pyamqp warren.broker.rabbitmq.connection"),
    ("redis://127.0.0.1:1/0", "kombu.transport.redis warren.broker.redis.redis_transport"),
    (
        "rediss://127.0.0.1:1/0?ssl_cert_reqs=none",
        "kombu.transport.redis warren.broker.redis.redis_transport",
    ),
]


@pytest.mark.parametrize(("url", "classes"), KINDS)
def test_a_program_that_used_the_broker_before(tmp_path: Path, url: str, classes: str) -> None:
    """A program that first made a connection of kombu's own uses Warren's transport later."""
    (tmp_path / "warren.ini").write_text(
        f"[app]\nstate_dir = {tmp_path}\n[broker]\nurl = {url}\n", encoding="utf-8"
    )
    arguments = [sys.executable, "-c", PROGRAM, url, str(tmp_path)]
    done = run_to_end(arguments, capture_output=True)
    assert done.stdout.strip() == classes, done.stderr


def test_a_kombu_that_holds_to_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by name: its senders would not learn what the broker did with a message."""
    monkeypatch.setattr(transport_registry, "get_transport_cls", lambda _name: object)
    monkeypatch.setattr(transport, "_transport_cache", {})
    monkeypatch.setattr(transport_registry, "TRANSPORT_ALIASES", {})
    with pytest.raises(
        RuntimeError, match=r"kombu [\d.]+ does not take Warren's transport of amqp://; install"
    ):
        take_names({"amqp": Path})
