"""The kombu that Warren's transport of Redis is built on: another one is refused by name."""

from __future__ import annotations

import kombu
import pytest
from kombu.transport import redis

from warren.broker.redis import kombu_version, redis_transport


def test_the_installed_one_is_known() -> None:
    """What constraints.txt pins is what was read."""
    kombu_version.check()


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers may take as kombu does, and lose what they have when they die."""
    monkeypatch.setattr(kombu, "VERSION", (5, 8, 0))
    with pytest.raises(
        RuntimeError, match=r"expected kombu 5\.7 for redis://, found kombu .*; install kombu 5"
    ):
        redis_transport.register()


@pytest.mark.parametrize(
    "name", ["_brpop_start", "_brpop_read", "_in_poll", "_on_connection_disconnect"]
)
def test_one_that_has_moved_a_method_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """It says which one is missing."""
    monkeypatch.delattr(redis.Channel, name)
    with pytest.raises(RuntimeError, match=f"without Channel.{name}"):
        redis_transport.register()
