"""How queues, messages and their takers are named in the embedded broker's folders."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import time
from functools import lru_cache
from urllib.parse import quote

from warren.process import Process, boot, this

#: A file name may have 255 bytes, and a taker's name or a counter may be put behind it.
_LONGEST = 180


@lru_cache(maxsize=1024)
def folder_name(name: str) -> str:
    """A name that is safe as one folder or file name, different for every `name` and never hidden."""
    safe = quote(name, safe="@")
    if safe.startswith("."):
        safe = "%2E" + safe[1:]  # neither "..", nor a name that listings leave out
    if len(safe) <= _LONGEST:
        return safe
    # Always longer than a name that is spelled out, so it cannot be taken for one.
    return f"{safe[:_LONGEST]}%{hashlib.sha256(name.encode()).hexdigest()[:40]}"


def message_name() -> str:
    """The name of a new message: sorts by time (ns since the epoch), then by the order within this process; unique for ever.

    It ends with the number of times that the message was taken and came back.
    """
    return f"{time.time_ns():020d}-{next(_numbers):012d}-{_token(os.getpid())}.0"


def returned_name(name: str) -> str:
    """The name under which a taken message comes back: the same place in the order, and a name that it never had before.

    So nobody who still knows the old name (a late acknowledgement) can touch the message that was taken anew.
    """
    if len(os.fsencode(name)) > _LONGEST:  # nobody's but a foreign file's: with a counter behind it, it could not be a name
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    stem, _, returns = name.rpartition(".")
    return f"{stem}.{int(returns) + 1}" if stem and returns.isdecimal() else f"{name}.1"


def returns_of(name: str) -> int:
    """How often the message came back."""
    returns = name.rpartition(".")[2]
    return int(returns) if returns.isdecimal() else 0


def owner() -> str:
    """Names the calling process among all processes of all boots; asked anew after a fork."""
    return _owner(os.getpid())


def owner_alive(name: str) -> bool:
    """Whether the process with that `owner` name still runs; False for a name that is no owner's."""
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
    process = this()
    return f"{boot_name()}.{process.pid}.{process.start}"


def boot_name() -> str:
    """Names the boot, and the place in it, in which process numbers mean something; without a dot."""
    return boot().replace(" ", "_").replace(".", "_")
