"""The delivery tags of Redis. A tag says who took the message
(`take.BOOT.PID.START.RANDOM.NUMBER`).

The owner is in the tag, and so needs no key and no command of its own. The messages of a dead
process are found by their tags alone.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterable
from functools import lru_cache

from warren.broker.embedded import file_names

_PREFIX = "take."
_numbers = itertools.count(1)


def owner() -> str:
    """Return the beginning of the tags of the calling process.

    After a fork the child gets a new beginning.
    """
    return f"{_PREFIX}{file_names.owner()}.{_random(os.getpid())}"


def take_tag() -> str:
    """Return a tag of the calling process that no message ever had."""
    return f"{owner()}.{next(_numbers)}"


def is_take(tag: str) -> bool:
    """Return whether the message was noted by the script that took it."""
    return tag.startswith(_PREFIX)


def owner_of(tag: str) -> str:
    """Return the owner of the tag."""
    return tag.rpartition(".")[0]


def is_own(tag: str) -> bool:
    """Return whether the calling process made the tag.

    A process may have inherited a tag over a fork.
    """
    return owner_of(tag) == owner()


def tags_here() -> str:
    """Return Redis's pattern for the tags of this host since its boot.

    The pattern is for one space of process numbers (a container has its own).
    """
    return f"{_PREFIX}{file_names.boot_name()}.*"


def is_dead(owner: str) -> bool:
    """Return whether the process of this owner of tags has ended.

    Returns False for a process that cannot be judged here: a process of another host, another boot
    or another container.
    """
    process, _, _ = owner.removeprefix(_PREFIX).rpartition(".")
    boot, *numbers = process.split(".")
    known = (
        is_take(owner)
        and boot == file_names.boot_name()
        and len(numbers) == 2
        and all(map(str.isdecimal, numbers))
    )
    return known and not file_names.owner_alive(process)


def newest_first(found: Iterable[tuple[str, float]]) -> list[str]:
    """Return the tags of these pairs (tag, time of the take), the tag of the last take first."""
    return [
        tag for tag, _ in sorted(found, key=lambda pair: (pair[1], _number(pair[0])), reverse=True)
    ]


def _number(tag: str) -> int:
    number = tag.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0


@lru_cache(maxsize=1)
def _random(_pid: int) -> str:
    return secrets.token_hex(8)
