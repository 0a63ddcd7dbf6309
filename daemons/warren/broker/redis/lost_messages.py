"""Messages that are noted as this process's although the process does not know or want them.

Either the answer to a take was not read because the connection broke: Redis may have run the take,
or may still run it. Or a message could not be requeued when its channel closed, because Redis was
away or took no writes. So the tags of such messages are remembered, by broker, and the messages
that are noted under these tags are requeued.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from warren.broker.redis.delivery_tags import is_own

#: The most tags that are remembered for each broker. Beyond this the oldest tags are forgotten, and
#: the visibility timeout brings their messages back.
_MOST = 1000


class LostMessages:
    """The tags, by broker.

    Several brokers may be tried in turn. A tag has a meaning only on the broker that was asked.
    """

    #: Whether this process runs the message of a tag, or has run it and will tell Redis later.
    at_work: Callable[[str], bool] = staticmethod(lambda tag: False)

    def __init__(self) -> None:
        self._tags: dict[tuple[Any, ...], OrderedDict[str, None]] = {}

    def add(self, broker: tuple[Any, ...], tag: str) -> None:
        """Remember the tag if this process made it.

        A child inherits the connection over a fork, but not the message.
        """
        if not is_own(tag):
            return
        tags = self._tags.setdefault(broker, OrderedDict())
        tags[tag] = None
        while len(tags) > _MOST:
            tags.popitem(last=False)

    def has(self, broker: tuple[Any, ...], tag: str) -> bool:
        """Return whether the message under the tag has to be requeued."""
        return tag in self._tags.get(broker, ()) and is_own(tag)

    def found(self, broker: tuple[Any, ...], tag: str) -> None:
        """Forget a tag whose message was requeued. Other tags stay, because their takes may still
        run.
        """
        self._tags.get(broker, OrderedDict()).pop(tag, None)


#: The only object of this class in the process: connections and channels come and go.
LOST = LostMessages()
