"""Which queues a message reaches on the embedded broker."""

from __future__ import annotations

import pytest

from warren.broker.embedded.routing import Binding, route


@pytest.mark.parametrize(
    ("key", "routing_key", "matches"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("a.#", "ab", False),
        ("#", "", True),
        ("#", "a.b", True),
        ("#.c", "c", True),
        ("#.c", "a.b.c", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a.#.c", "a.b.d", False),
        ("*.#", "", True),
        ("*.*", "a", False),
        ("a.b", "axb", False),
    ],
)
def test_topic(key: str, routing_key: str, matches: bool) -> None:
    """A topic exchange matches as AMQP says.

    `*` is one word, `#` any number of words, none included.
    """
    assert route("topic", [Binding(key, "q")], routing_key) == (["q"] if matches else [])


def test_no_key_takes_long() -> None:
    """Neither many wildcards nor many words make a comparison endless or too deep."""
    many = ".".join(["#"] * 2000)
    assert route("topic", [Binding(f"{many}.z", "q")], ".".join("ab" * 60)) == []
    assert route("topic", [Binding(f"{many}.b", "q")], ".".join("ab" * 60)) == ["q"]


def test_a_queue_gets_one_copy() -> None:
    """A queue whose several bindings match gets the message once."""
    bindings = [Binding("a.*", "one"), Binding("#", "one"), Binding("a.b", "two")]
    assert route("topic", bindings, "a.b") == ["one", "two"]


def test_direct_and_fanout() -> None:
    """A direct exchange compares the key, a fanout exchange ignores it."""
    bindings = [Binding("a", "one"), Binding("b", "two"), Binding("*", "three")]
    assert route("direct", bindings, "a") == ["one"]
    assert route("fanout", bindings, "a") == ["one", "two", "three"]
