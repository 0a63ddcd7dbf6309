"""The options of `[web]`, the HTTP entrance."""

from __future__ import annotations

from typing import Annotated

from warren.config.addresses import Address, loopback
from warren.config.option_types import (
    CallRate,
    Flag,
    Kind,
    Names,
    OptionalPath,
    Patterns,
    Section,
    Size,
    bytes_of,
    duration,
    option,
)
from warren.config.units import Rate


class WebSettings(Section):
    """The HTTP entrance: programs and people send tasks by HTTP, and see their progress."""

    enabled: Flag = option(False, "Whether this host runs it.")
    listen: Annotated[Address, Kind("loopback address and port", loopback)] = option(
        Address("127.0.0.1", 8780),
        "Where it listens. For other hosts put a proxy with TLS before it.",
    )
    token_file: OptionalPath = option(
        None, "File with lines NAME TOKEN, one for each client. Only its owner may read it."
    )
    tasks: Patterns = option((), "Tasks that a request may send. Empty: none.")
    queues: Names = option(
        (), "Queues that a request may name. Empty: each task goes to its own queue."
    )
    rate: CallRate = option(
        Rate(1000, 10.0),
        "Requests that each token may make: so many at once, and as many again in each such time.",
    )
    largest_request: Annotated[int, bytes_of(2**10, 2**24)] = option(
        64 * 2**10, "Largest body of a request. A larger body is refused."
    )
    link_lifetime: Annotated[float, duration(1)] = option(
        3600.0, "How long a link to a file that a task has published is valid."
    )
    file_lifetime: Annotated[float, duration(60)] = option(
        86400.0, "How long a file that a task has published is kept."
    )
    max_memory: Size = option(0, "The daemon is restarted gracefully above this size. 0: never.")
