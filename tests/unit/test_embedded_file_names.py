"""Names of queues and messages in the embedded broker's directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.broker.embedded.file_names import (
    directory_name,
    message_name,
    owner,
    owner_alive,
    returned_name,
    returns_of,
)


@given(st.text(min_size=1))
def test_any_queue_name_is_a_safe_directory_name(name: str) -> None:
    """Whatever a queue's name, its directory is visible and directly below the broker's."""
    try:
        safe = directory_name(name)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text: no publisher can send it
    assert "/" not in safe
    assert not safe.startswith(".")
    assert 0 < len(os.fsencode(safe)) < 240


@pytest.mark.parametrize(
    "name",
    ["a/b", "..", ".", "../../etc", "a b", "worker@host.celery.pidbox", "ä", "a%2Fb", "x" * 300],
)
def test_two_queues_never_share_a_directory(name: str, tmp_path: Path) -> None:
    """Names that need encoding make directories of their own, inside the broker's directory."""
    others = [
        "a/b",
        "..",
        ".",
        "../../etc",
        "a b",
        "worker@host.celery.pidbox",
        "ä",
        "a%2Fb",
        "x" * 300,
        "x" * 299 + "y",
        "%2E",
    ]
    others.remove(name)
    (tmp_path / directory_name(name)).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [directory_name(name)]
    assert directory_name(name) not in {directory_name(other) for other in others}


def test_messages_sort_in_the_order_of_their_making() -> None:
    """The names of one process's messages sort as they were made, however fast."""
    names = [message_name() for _ in range(2000)]
    assert names == sorted(set(names))


def test_a_returned_message_keeps_its_place_under_a_new_name() -> None:
    """A message that came back sorts where it was, counts its returns, and has a new name."""
    first, second = message_name(), message_name()
    names = [first]
    for times in range(1, 12):
        names.append(returned_name(names[-1]))
        assert returns_of(names[-1]) == times
        assert names[-1] < second
    assert len(set(names)) == 12
    assert returned_name("put here by hand") == "put here by hand.1"


def test_only_a_running_process_of_this_boot_is_alive() -> None:
    """An owner is alive while that very process runs.

    A process of its number with another start or boot is another owner.
    """
    where, pid, start = owner().rsplit(".", 2)
    assert owner_alive(owner())
    assert not owner_alive(f"{where}.{pid}.{int(start) + 1}")
    assert not owner_alive(f"another-boot.{pid}.{start}")
    assert not owner_alive("lost+found")


def test_a_forked_child_is_somebody_else() -> None:
    """A child does not share its parent's name, nor the names of its messages."""
    reader, writer = os.pipe()
    before = message_name(), owner()
    if os.fork() == 0:
        os.write(writer, f"{message_name()} {owner()}".encode())
        os._exit(0)
    os.wait()
    child_message, child_owner = os.read(reader, 1000).decode().split()
    assert child_owner != before[1]
    assert child_message.split("-")[2] != before[0].split("-")[2]
