"""The class that kombu takes for the URLs of a kind (amqp://, redis://) in this process."""

from __future__ import annotations

import kombu
from kombu import transport
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls


def take_names(classes: dict[str, type]) -> None:
    """Make these classes, by the kind of URL, the transports that kombu takes from now on.

    kombu takes the transport of every URL from this table, also when it continues with the next of
    several URLs and when it makes the connections of a pool; a transport that is set elsewhere is
    lost there. Connections that are open keep theirs. Raises RuntimeError when kombu keeps another
    class: a sender whose messages are never confirmed would lose them in silence.
    """
    # kombu remembers the class that it first took for a name. Where a program used amqp:// before
    # it made Warren's app, kombu would keep its own class. This memory has no public name, so it
    # may be gone in a later kombu; the comparison below shows when that matters.
    remembered: dict[str | None, type | None] = getattr(transport, "_transport_cache", {})
    for name, cls in classes.items():
        TRANSPORT_ALIASES[name] = f"{cls.__module__}:{cls.__qualname__}"
        remembered.pop(name, None)
        if get_transport_cls(name) is not cls:
            text = f"kombu {kombu.__version__} does not take Warren's transport of {name}://"
            raise RuntimeError(f"{text}; install a kombu that this version of Warren knows")
