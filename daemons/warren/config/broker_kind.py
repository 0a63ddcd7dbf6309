"""The kind of broker that `[broker] url` names; without a URL, the embedded broker. Pure.

`urls.py` checks the form of a URL, `schema.py` lists the schemes that the option takes.
"""

from __future__ import annotations

from typing import Literal

BrokerKind = Literal["embedded", "redis", "rabbitmq"]


def kind_of(url: str | None) -> BrokerKind:
    """Return the kind of broker of a checked URL.

    The text may hold several URLs of one kind, separated by ';'.
    """
    if url is None:
        return "embedded"
    return "redis" if url.lower().startswith("redis") else "rabbitmq"
