"""The names of queues, messages and owners in the directories of the embedded broker."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import time
from functools import lru_cache
from urllib.parse import quote

from warren.system.process import Process, boot, current_process

#: A file name may have 255 bytes, and an owner's name or a counter may be added to it.
_LONGEST = 180


@lru_cache(maxsize=1024)
def directory_name(name: str) -> str:
    """Return a name that is safe as one directory or file name.

    It is different for every `name`, and never hidden.
    """
    safe = quote(name, safe="@")
    if safe.startswith("."):
        safe = "%2E" + safe[1:]  # neither "..", nor a name that listings leave out
    if len(safe) <= _LONGEST:
        return safe
    # Always longer than a name that is spelled out, so the two cannot be confused.
    return f"{safe[:_LONGEST]}%{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def message_name() -> str:
    """Return the name of a new message, unique for ever.

    It sorts by time (ns since the epoch), then by the order within this process. It ends with the
    number of times that the message was taken and came back.
    """
    return f"{time.time_ns():020d}-{next(_numbers):012d}-{_token(os.getpid())}.0"


def returned_name(name: str) -> str:
    """Return the name under which a taken message is requeued.

    It has the same position in the order, and is a name that the message never had before. So a
    process that still knows the old name (a late acknowledgement) cannot touch the message that was
    taken again.
    """
    # Only a foreign file has such a name: with a counter added, it could not be a file name.
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    stem, _, returns = name.rpartition(".")
    return f"{stem}.{int(returns) + 1}" if stem and returns.isdecimal() else f"{name}.1"


def returns_of(name: str) -> int:
    """Return how often the message came back."""
    returns = name.rpartition(".")[2]
    return int(returns) if returns.isdecimal() else 0


def owner() -> str:
    """Return a name of the calling process, unique among all processes of all boots.

    The name is made again after a fork.
    """
    return _owner(os.getpid())


def owner_alive(name: str) -> bool:
    """Return whether the process with that `owner` name still runs; False for any other name."""
    try:
        where, pid, start = name.rsplit(".", 2)
        process = Process(int(pid), int(start))
    except ValueError:
        return False
    return where == boot_name() and process.alive


_numbers = itertools.count()


@lru_cache(maxsize=1)
def _token(_pid: int) -> str:
    return secrets.token_hex(8)


@lru_cache(maxsize=1)
def _owner(_pid: int) -> str:
    process = current_process()
    return f"{boot_name()}.{process.pid}.{process.start}"


def boot_name() -> str:
    """Return a name of this boot without a dot.

    It also names the part of the system in which process numbers mean something.
    """
    return boot().replace(" ", "_").replace(".", "_")
