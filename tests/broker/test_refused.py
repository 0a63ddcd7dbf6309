"""`warren call` on a broker that refuses the client.

The reasons are a wrong password, an unknown virtual host, and missing rights.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import RabbitMQNode
from support.suite import Suite
from warren.errors import ExitCode


@pytest.fixture
def narrow(rabbitmq: RabbitMQNode) -> Iterator[str]:
    """The URL of a user who may declare queues and publish nothing."""
    name, password = f"narrow-{secrets.token_hex(4)}", secrets.token_hex(8)
    rabbitmq.ctl("add_user", name, password)
    rabbitmq.ctl("set_permissions", name, ".*", "^$", ".*")
    yield rabbitmq.url.replace(f"warren:{rabbitmq.password}", f"{name}:{password}")
    rabbitmq.ctl("delete_user", name)


def refused(scratch: Path, url: str, *arguments: str) -> str:
    """Return what `warren call` says on stderr, when it ends with 69.

    It is one line that begins with the URL's place and holds no password.
    """
    suite = Suite(scratch, f"[broker]\nurl_file = {scratch}/etc/url\n")
    (suite.etc / "url").write_text(url, encoding="utf-8")
    (suite.etc / "url").chmod(0o600)
    done = suite.warren("call", "shop.page", *arguments)
    assert (done.returncode, done.stdout) == (ExitCode.UNAVAILABLE, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f"{suite.etc}/warren.ini:8: [broker] url_file: the broker "), (
        done.stderr
    )
    assert "hidden77" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_wrong_password(
    scratch: Path, rabbitmq: RabbitMQNode, arguments: tuple[str, ...]
) -> None:
    """A login that RabbitMQ refuses is told with its reason and what to correct."""
    said = refused(scratch, rabbitmq.url.replace(rabbitmq.password, "hidden77"), *arguments)
    assert "the broker refuses: " in said
    assert "ACCESS_REFUSED" in said
    assert (
        "; correct user and password in [broker] url, or set the password at the broker with "
        "rabbitmqctl change_password" in said
    )


def test_an_unknown_virtual_host(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """So is a virtual host that RabbitMQ does not have."""
    said = refused(scratch, rabbitmq.url.rstrip("/") + "/nowhere")
    assert "vhost nowhere not found" in said
    assert "the broker refuses: " in said
    assert (
        "; make the virtual host: rabbitmqctl add_vhost nowhere; or correct the end of [broker] url"
        in said
    )


def test_a_virtual_host_without_permissions(scratch: Path, rabbitmq: RabbitMQNode) -> None:
    """A virtual host without permissions for the user is refused with the command to give them.

    A start of the broker would not help.
    """
    rabbitmq.ctl("add_vhost", scratch.name)
    said = refused(scratch, f"{rabbitmq.url.rstrip('/')}/{scratch.name}")
    rabbitmq.ctl("delete_vhost", scratch.name)
    assert (
        f"; grant the right: rabbitmqctl set_permissions -p {scratch.name} warren '.*' '.*' '.*'"
        in said
    )
    assert "start the broker" not in said


def test_a_user_without_rights(scratch: Path, narrow: str) -> None:
    """So is a user who may not write: RabbitMQ closes the channel."""
    said = refused(scratch, narrow)
    assert "ACCESS_REFUSED" in said
    assert "; grant the right: rabbitmqctl set_permissions -p / narrow-" in said


def test_a_wrong_password_of_redis(scratch: Path, redis_url: str) -> None:
    """So is a password that Redis refuses."""
    password = redis_url.partition("//:")[2].partition("@")[0]
    assert "correct user and password in [broker] url" in refused(
        scratch, redis_url.replace(password, "hidden77")
    )
