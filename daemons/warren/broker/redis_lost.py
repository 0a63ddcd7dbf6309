"""Messages that are noted as this process's, and that nobody in it knows of, or wants any more.

A take whose answer nobody has read, for the connection broke in between: Redis may have run it, or may run it yet. And
what could not go back to its queue as its channel closed, for Redis was away or took no writes. So the tags are kept in
mind, by broker, and what is noted under them goes back to its queue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from warren.broker.redis_tags import is_own

#: Tags that are kept in mind for each broker; the oldest are forgotten, and the visibility timeout brings their messages.
_MOST = 1000


class Lost:
    """The tags, by broker: several may be tried in turn, and a tag means something on the one that was asked."""

    #: Whether this process works at the message of a tag, or has done it and Redis does not know yet: Redis is told later.
    at_work: Callable[[str], bool] = staticmethod(lambda tag: False)

    def __init__(self) -> None:
        self._tags: dict[tuple[Any, ...], OrderedDict[str, None]] = {}

    def add(self, broker: tuple[Any, ...], tag: str) -> None:
        """Keep the tag in mind, unless another process made it: over a fork the connection is inherited, not the message."""
        if not is_own(tag):
            return
        tags = self._tags.setdefault(broker, OrderedDict())
        tags[tag] = None
        while len(tags) > _MOST:
            tags.popitem(last=False)

    def has(self, broker: tuple[Any, ...], tag: str) -> bool:
        """Return whether the message under the tag is to go back."""
        return tag in self._tags.get(broker, ()) and is_own(tag)

    def found(self, broker: tuple[Any, ...], tag: str) -> None:
        """Forget a tag whose message has gone back. One that was not found stays: its take may be run late."""
        self._tags.get(broker, OrderedDict()).pop(tag, None)


#: One for the process: connections and channels come and go.
LOST = Lost()
