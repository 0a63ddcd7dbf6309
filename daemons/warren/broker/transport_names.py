"""Which class kombu takes for the URLs of a kind (amqp://, redis://) in this process."""

from __future__ import annotations

import kombu
from kombu import transport
from kombu.transport import TRANSPORT_ALIASES, get_transport_cls


def take_names(classes: dict[str, type]) -> None:
    """Makes these classes, by the kind of URL, the ones that kombu takes from now on.

    kombu takes the transport of every URL from this table, also when it goes on to the next of
    several URLs and when it makes the connections of a pool; a transport named elsewhere is lost
    there. Connections that are open keep theirs. Raises RuntimeError when kombu holds to another:
    a sender whose messages nobody confirms would lose them in silence.
    """
    # kombu remembers the class that it first took for a name. Where a program used amqp:// before
    # it made Warren's app, it would keep kombu's own. The memory has no public name, so it may be
    # gone in a later kombu; the comparison below tells when that matters.
    remembered: dict[str | None, type | None] = getattr(transport, "_transport_cache", {})
    for name, cls in classes.items():
        TRANSPORT_ALIASES[name] = f"{cls.__module__}:{cls.__qualname__}"
        remembered.pop(name, None)
        if get_transport_cls(name) is not cls:
            text = f"kombu {kombu.__version__} does not take Warren's transport of {name}://"
            raise RuntimeError(f"{text}; install a kombu that this version of Warren knows")
