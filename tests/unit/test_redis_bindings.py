"""What kombu keeps in Redis, told from garbage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.broker.embedded.routing import Binding
from warren.broker.payloads import check
from warren.broker.redis.bindings import binding_of, entry_of

SEP = "\x06\x16"
TAKEN = frozenset(("unacked",))
MESSAGE = {
    "body": "x",
    "headers": {},
    "properties": {"delivery_info": {"exchange": "", "routing_key": "q"}},
}


def test_a_binding_is_its_key_and_its_queue() -> None:
    """The pattern between them is not looked at."""
    assert binding_of(f"a.*{SEP}^(({SEP}q".encode(), SEP, TAKEN) == Binding("a.*", "q")
    assert binding_of(f"{SEP}{SEP}q".encode(), SEP, TAKEN) == Binding("", "q")


@pytest.mark.parametrize(
    "queue", ["", "unacked", "_kombu.binding.warren", "warren.rejected.unacked", "q" * 256]
)
def test_what_is_no_queue_is_no_binding(queue: str) -> None:
    """Neither nothing, nor a key in which something else is kept."""
    assert binding_of(f"#{SEP}{SEP}{queue}".encode(), SEP, TAKEN) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_at_without_an_error(member: bytes) -> None:
    """Whatever somebody has written: a binding, or none."""
    found = binding_of(member, SEP, TAKEN)
    assert found is None or member.count(SEP.encode()) == 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        [],
        {},
        [1, 2, 3],
        [MESSAGE, 1, "q"],
        [MESSAGE, "", None],
        [{}, "", "q"],
        [[], "", "q"],
    ],
)
def test_an_entry_that_is_none_has_a_reason(value: Any) -> None:
    """It begins as all do."""
    with pytest.raises(ValueError, match="expected "):
        entry_of(value)


@pytest.mark.parametrize("value", [None, 1, 1.5, True, "x", [], {}, [1], {"properties": 5}])
def test_a_message_that_is_none_has_a_reason(value: Any) -> None:
    """Also a number alone."""
    with pytest.raises(ValueError, match="expected "):
        check(value)


def test_an_entry_keeps_its_address() -> None:
    """Without an exchange the routing key is the queue's name."""
    assert entry_of([MESSAGE, None, "q"])[1:] == ("", "q")
