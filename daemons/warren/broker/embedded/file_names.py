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

#: A file name may have 255 bytes. An owner's name or a counter may be added to a name of this
#: length.
_LONGEST = 180


@lru_cache(maxsize=1024)
def directory_name(name: str) -> str:
    """Return a form of the name that is safe as the name of one directory or file.

    Different names have different forms, and no form is hidden.
    """
    safe = quote(name, safe="@")
    if safe.startswith("."):
        safe = "%2E" + safe[1:]  # no form is "..", or a name that listings leave out
    if len(safe) <= _LONGEST:
        return safe
    # A form with a hash is always longer than any other form, so no two forms are equal.
    return f"{safe[:_LONGEST]}%{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def message_name() -> str:
    """Return the name of a new message, which is unique for ever.

    Names sort by time (ns since the epoch), then by their order within this process. A name ends
    with the number of times that its message was taken and came back.
    """
    return f"{time.time_ns():020d}-{next(_numbers):012d}-{_token(os.getpid())}.0"


def returned_name(name: str) -> str:
    """Return the name under which a taken message is requeued.

    The new name sorts as the old one does, and the message never had it before. So a process that
    only knows the old name, for a late acknowledgement, cannot touch the message after it was taken
    again.
    """
    # Only a foreign file has so long a name. With a counter added it could not be a file name.
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    stem, _, returns = name.rpartition(".")
    return f"{stem}.{int(returns) + 1}" if stem and returns.isdecimal() else f"{name}.1"


def returns_of(name: str) -> int:
    """Return how often the message came back."""
    returns = name.rpartition(".")[2]
    return int(returns) if returns.isdecimal() else 0


def owner() -> str:
    """Return a name of the calling process, which is unique among all processes of all boots.

    After a fork the child gets a new name.
    """
    return _owner(os.getpid())


def owner_alive(name: str) -> bool:
    """Return whether the process with that `owner` name still runs.

    Returns False for any other name.
    """
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
    """Return a name of this boot, without a dot.

    The name also stands for the space of process numbers (a container has its own).
    """
    return boot().replace(" ", "_").replace(".", "_")
