"""What the requests of the HTTP entrance share."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from celery import Celery

from warren.config.web_options import WebSettings
from warren.web.clients import Clients
from warren.web.downloads import Links
from warren.web.known_keys import KnownKeys
from warren.web.sending_threads import Sender

#: Threads that read states: a Redis that hangs holds up no submission.
_READERS = 4
#: Reads that wait for a thread or for the results; further ones are refused at once.
MOST_READING = 256


@dataclass
class Entrance:
    """The parts that a request uses.

    web: the settings in force. sending: client and idempotency key of each request whose task is
    being sent. reading: the reads of results that wait. streams: the open event
    streams of each client. stopping: whether the daemon ends.
    """

    web: WebSettings
    app: Celery
    clients: Clients
    sender: Sender
    keys: KnownKeys
    links: Links
    sending: set[tuple[str, str]] = field(default_factory=set)
    reading: int = 0
    streams: Counter[str] = field(default_factory=Counter)
    stopping: bool = False
    readers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_READERS, "read")
    )
