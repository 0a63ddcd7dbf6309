"""Which queues a message reaches: the rules of AMQP's exchanges, without any state."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

KINDS = ("direct", "topic", "fanout")


class Binding(NamedTuple):
    """What a queue asks an exchange for."""

    key: str
    queue: str


def route(kind: str, bindings: Iterable[Binding], routing_key: str) -> list[str]:
    """The queues that get the message, each once, in the order of their bindings."""
    return list(dict.fromkeys(binding.queue for binding in bindings if _matches(kind, binding.key, routing_key)))


def _matches(kind: str, key: str, routing_key: str) -> bool:
    if kind == "fanout":
        return True
    if kind == "topic":
        return _topic(tuple(key.split(".")), tuple(routing_key.split(".")))
    return key == routing_key


@lru_cache(maxsize=4096)
def _topic(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """`*` stands for one word, `#` for any number of them, none included."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return _topic(pattern[1:], words) or (bool(words) and _topic(pattern, words[1:]))
    return bool(words) and pattern[0] in ("*", words[0]) and _topic(pattern[1:], words[1:])
