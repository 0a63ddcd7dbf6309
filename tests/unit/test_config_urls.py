"""URLs of brokers and result stores: what is refused, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from warren.config import Settings
from warren.errors import Problem
from warren.redaction.masker import redact

Loaded = Callable[..., Settings]
Refused = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("redis://:12345/secret77@h/0", "host or port"),
        ("redis://:123/45/secret77@h/0", "host or port"),
        ("redis://:12#secret77@h/0", "host or port"),
        ("redis://:secret77@h:0/0", "host or port"),
        ("redis://:secret77@h h/0", "white space"),
        ("redis://secret77@ho^st/0", "host or port"),
        ("amqp://u:12345/secret77@h/v", "an '@' or '#' behind the host"),
        ("amqp://h/v#secret77", "an '@' or '#' behind the host"),
        ("redis://:secret77@h/x", "database is no number"),
        ("redis://:secret77@h/0/1", "database is no number"),
        ("redis://:secret77@h/0?password=x", "found one"),
        ("redis://:secret77@h/0?", ""),
        ("amqp://u:secret77@h/v?heartbeat=abc", "an invalid value"),
        ("amqp://u:secret77@h/v?heartbeet=1", "another one"),
        ("amqp://u:secret77@h/v?secret77", "another one"),
        ("rediss://:secret77@h/0?ssl_cert_reqs=perhaps", "an invalid value"),
        ("redis://:secret77@h;redis://:secret77@i/x", "database is no number"),
    ],
)
def test_a_wrong_url(refused: Refused, loaded: Loaded, text: str, found: str) -> None:
    """Each part of a URL that would break the connection is refused.

    The message shows none of the URL.
    """
    if not found:
        assert loaded(f"[broker]\nurl = {text}").broker.url
        return
    (problem,) = refused(f"[broker]\nurl = {text}")
    assert found in str(problem)
    assert "secret77" not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        "amqp://",
        "redis://",
        "redis:///1",
        "redis://:p@ss@h",
        "redis://[::1]:6379/0",
        "AMQP://u:p%2Fw@rabbit.example:5672//",
        "amqp://u:p@h/v?heartbeat=10&connect_timeout=2.5",
        "amqps://u:p@h/v?ssl_cert_reqs=required&ssl_ca_certs=/etc/ssl/ca.pem",
        "rediss://:p@h/0?ssl_cert_reqs=CERT_REQUIRED",
    ],
)
def test_a_right_url(loaded: Loaded, text: str) -> None:
    """What a broker's URL may hold is taken."""
    url = loaded(f"[broker]\nurl = {text}").broker.url
    assert url is not None
    assert url.get_secret_value() == text


def test_results_have_one_url(refused: Refused, loaded: Loaded) -> None:
    """Results are kept in one place, so several URLs are refused there.

    This includes a broker of Redis that keeps results as well.
    """
    several = "url = redis://:secret77@h/0;redis://:secret77@i/0\n"
    (problem,) = refused(f"[results]\n{several}")
    assert problem.section == "results"
    (other,) = refused(f"[broker]\n{several}")
    assert other.remedy == "set [results] url to the server that is to keep them"
    assert "secret77" not in f"{problem}{other}"
    assert loaded(f"[broker]\n{several}[results]\nurl = redis://:p@h/0").results.url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://secret77@host/0", "redis://***@host/0"),
        ("rediss://sec/ret77@host/0", "rediss://***@host/0"),
        ("redis://:sec/ret77@host/0", "redis://:***@host/0"),
        ("redis://u:sec@ret77@host/0", "redis://u:***@host/0"),
        ("redis://:**@host", "redis://:***@host"),
        ("amqp://a:secret77@h;amqp://b:secret77@i", "amqp://a:***@h;amqp://b:***@i"),
        (
            "ValueError: 'redis://secret77@h' or 'amqp://u:secret77@h'",
            "ValueError: 'redis://***@h' or 'amqp://u:***@h'",
        ),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:@host/0", "redis://:@host/0"),
        ("amqp://user@host", "amqp://user@host"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    """A password is masked wherever people put it, with one mask.

    Where there is no password there is no mask.
    """
    assert redact(text) == shown
