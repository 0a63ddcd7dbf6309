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
    """`*` stands for one word, `#` for any number of them, none included.

    Word by word, with all places of the pattern that can be reached: what anybody wrote costs no more than its length.
    """
    reached = _over_hashes(pattern, {0})
    for word in words:
        after = {place for place in reached if place < len(pattern) and pattern[place] == "#"}
        after |= {place + 1 for place in reached if place < len(pattern) and pattern[place] in ("*", word)}
        reached = _over_hashes(pattern, after)
    return len(pattern) in reached


def _over_hashes(pattern: tuple[str, ...], places: set[int]) -> set[int]:
    """Return the places, and those behind each `#` that stands for no word."""
    found = set(places)
    for place in sorted(places):
        while place < len(pattern) and pattern[place] == "#":
            place += 1
            found.add(place)
    return found
