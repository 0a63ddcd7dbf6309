"""The URL of a RabbitMQ: its user, password and virtual host, read and written. Pure.

No error of this module holds the URL, because the URL holds a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

#: The names that Warren accepts for users and virtual hosts: they need no quoting in a shell and in
#: a URL.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_DEFAULT_PORT = 5672


@dataclass(frozen=True)
class BrokerURL:
    """The parts of one URL. The object does not hold the URL's text."""

    host: str
    port: int
    user: str
    password: str
    vhost: str


def parse(url: str) -> BrokerURL:
    """Return the parts of a URL that config/urls.py has accepted."""
    parts = urlsplit(url)
    return BrokerURL(
        parts.hostname or "localhost",
        parts.port or (5671 if parts.scheme.lower() == "amqps" else _DEFAULT_PORT),
        unquote(parts.username or "guest"),
        unquote(parts.password or "guest"),
        unquote(parts.path[1:]) or "/",
    )


def new_url(port: int, user: str, password: str, vhost: str) -> str:
    """Return the URL of the broker on this host."""
    return f"amqp://{user}:{password}@127.0.0.1:{port}/{quote(vhost, safe='')}"


def local(text: str, is_local: Callable[[str], bool]) -> str:
    """Return the first of the URLs whose host is this host; empty when there is none."""
    return next((url for url in text.split(";") if is_local(parse(url).host)), "")


def with_password(text: str, url: str, user: str, password: str) -> str:
    """Return the text of all URLs, with a new password in one of them.

    url: the URL that gets the new password.
    """
    scheme, _, rest = url.partition("://")
    address = rest.rpartition("@")[2]
    return text.replace(url, f"{scheme}://{user}:{password}@{address}", 1)
