"""Tags of takes from Redis: whose they are, and whether that process is dead."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.forks import child, end
from warren.broker.embedded import file_names
from warren.broker.redis import delivery_tags
from warren.broker.redis.lost_messages import LostMessages

HERE = ("host", 1)


def dead_owner() -> str:
    """Return the owner of a process that has ended."""
    reader, writer = os.pipe()
    assert end(child(lambda: os.write(writer, delivery_tags.owner().encode()))) == 0
    os.close(writer)
    with open(reader, encoding="ascii") as said:
        return said.read()


def test_each_take_has_a_tag_of_its_own() -> None:
    """All of them are this process's."""
    tags = [delivery_tags.take_tag() for _ in range(1000)]
    assert len(set(tags)) == 1000
    assert {delivery_tags.owner_of(tag) for tag in tags} == {delivery_tags.owner()}
    assert all(map(delivery_tags.is_own, tags))
    assert all(map(delivery_tags.is_take, tags))


def test_a_forked_process_is_another_owner() -> None:
    """It has none of the tags of its parent, and is dead when it has ended; the parent lives."""
    owner = dead_owner()
    assert owner != delivery_tags.owner()
    assert not delivery_tags.is_own(f"{owner}.1")
    assert delivery_tags.is_dead(owner)
    assert not delivery_tags.is_dead(delivery_tags.owner())


def test_a_number_that_is_another_process_s_now() -> None:
    """The process with this number began at another time: the one that was meant has ended."""
    boot, pid, start = file_names.owner().split(".")
    assert delivery_tags.is_dead(f"take.{boot}.{pid}.{int(start) - 1}.abcd")


@pytest.mark.parametrize("boot", ["0123_4026531836", "", "x"])
def test_another_boot_or_host_is_not_judged(boot: str) -> None:
    """Its number may be a live one's there."""
    assert not delivery_tags.is_dead(f"take.{boot}.1.1.abcd")
    assert not delivery_tags.is_dead(dead_owner().replace("take.", "take.y", 1))


@given(
    st.text(max_size=60)
    | st.builds("take.{}.{}".format, st.just(file_names.boot_name()), st.text(max_size=20))
)
def test_what_is_no_owner_is_not_dead(text: str) -> None:
    """Whatever stands in the index: it is no process of this host that has ended."""
    boot = file_names.boot_name()
    if not text.startswith(f"take.{boot}.") or text.count(".") != 4:
        assert not delivery_tags.is_dead(text)
    else:
        delivery_tags.is_dead(text)  # raises nothing


def test_the_newest_is_the_first_to_go_back() -> None:
    """By the time of the take, and of two at one time by their number."""
    pairs = [("a.2", 5.0), ("a.10", 5.0), ("b.1", 4.0), ("b.9", 6.0), ("c.x", 5.0)]
    assert delivery_tags.newest_first(pairs) == ["b.9", "a.10", "a.2", "c.x", "b.1"]


def test_a_lost_take_is_kept_in_mind_on_its_broker() -> None:
    """A tag is this process's until its message has gone back.

    The same tag of another broker or another process is not.
    """
    lost, tag = LostMessages(), delivery_tags.take_tag()
    lost.add(HERE, tag)
    assert lost.has(HERE, tag)
    assert not lost.has(("other", 1), tag)
    lost.found(HERE, tag)
    assert not lost.has(HERE, tag)
    lost.add(HERE, f"{dead_owner()}.1")
    assert not lost.has(HERE, f"{dead_owner()}.1")


def test_what_is_lost_is_bounded() -> None:
    """The oldest are forgotten."""
    lost = LostMessages()
    tags = [delivery_tags.take_tag() for _ in range(1500)]
    for tag in tags:
        lost.add(HERE, tag)
    assert [lost.has(HERE, tag) for tag in tags].count(True) == 1000
    assert lost.has(HERE, tags[-1])


def test_a_forked_process_gives_nothing_of_its_parent_back() -> None:
    """The list is inherited, the messages are not."""
    lost, tag = LostMessages(), delivery_tags.take_tag()
    lost.add(HERE, tag)

    def inherited() -> None:
        assert not lost.has(HERE, tag)
        lost.add(HERE, tag)
        assert not lost.has(HERE, tag)

    assert end(child(inherited)) == 0
