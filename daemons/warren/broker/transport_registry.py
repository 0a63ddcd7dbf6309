"""The transport classes that kombu uses in this process for amqp:// and redis:// URLs."""

from __future__ import annotations

import kombu
from kombu import transport
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls


def take_names(classes: dict[str, type]) -> None:
    """Make these classes the transports that kombu takes from now on.

    classes: the transport for each kind of URL.

    kombu looks up the transport of every URL in this table, also when it continues with the next of
    several URLs, and when it makes the connections of a pool. A transport that is set elsewhere is
    lost in these cases. Open connections keep their transport. Raises RuntimeError when kombu keeps
    another class: messages of a sender without confirmations would be lost silently.
    """
    # kombu remembers the class that it first took for a name. When a program has used amqp://
    # before it made Warren's app, kombu would keep its own class. The memory has no public name,
    # and may be gone in a later kombu; the comparison below shows when that matters.
    remembered: dict[str | None, type | None] = getattr(transport, "_transport_cache", {})
    for name, cls in classes.items():
        TRANSPORT_ALIASES[name] = f"{cls.__module__}:{cls.__qualname__}"
        remembered.pop(name, None)
        if get_transport_cls(name) is not cls:
            text = f"kombu {kombu.__version__} does not take Warren's transport of {name}://"
            raise RuntimeError(f"{text}; install a kombu that this version of Warren knows")
