"""The queues that a message reaches: the rules of AMQP's exchanges, without any state."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

KINDS = ("direct", "topic", "fanout")


class Binding(NamedTuple):
    """A binding of a queue, with the key for which the queue gets messages."""

    key: str
    queue: str


def route(kind: str, bindings: Iterable[Binding], routing_key: str) -> list[str]:
    """Return the queues that get the message, each of them once, in the order of their bindings."""
    return list(
        dict.fromkeys(
            binding.queue for binding in bindings if _matches(kind, binding.key, routing_key)
        )
    )


def _matches(kind: str, key: str, routing_key: str) -> bool:
    if kind == "fanout":
        return True
    if kind == "topic":
        return _topic(tuple(key.split(".")), tuple(routing_key.split(".")))
    return key == routing_key


@lru_cache(maxsize=4096)
def _topic(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Return whether the words match: `*` stands for one word, `#` for any number of words.

    `#` may also stand for no word. The match goes word by word, with all reachable positions of the
    pattern. So even a foreign pattern costs no more time than its length.
    """
    reached = _over_hashes(pattern, {0})
    for word in words:
        after = {
            position for position in reached if position < len(pattern) and pattern[position] == "#"
        }
        after |= {
            position + 1
            for position in reached
            if position < len(pattern) and pattern[position] in ("*", word)
        }
        reached = _over_hashes(pattern, after)
    return len(pattern) in reached


def _over_hashes(pattern: tuple[str, ...], positions: set[int]) -> set[int]:
    """Return the positions, and the positions behind each `#` that stands for no word."""
    found = set(positions)
    for position in sorted(positions):
        while position < len(pattern) and pattern[position] == "#":
            position += 1
            found.add(position)
    return found
