"""The messages that a consumer of the embedded broker has taken and not settled."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from kombu.transport import virtual


class QoS(virtual.QoS):
    """The unsettled messages of a channel.

    Each message is a file in this process's own directory. Its delivery tag is the path of the
    file.
    """

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        # Does not call the base's method, which would requeue messages at the exit of the
        # interpreter, in forked children, too. Here a process that just ends counts as dead, and
        # `restore_dead` requeues its messages.
        self.channel = channel
        self.prefetch_count = prefetch_count
        self._delivered: OrderedDict[str, Any] = OrderedDict()
        self._dirty: set[str] = set()
        self._quick_ack = self._dirty.add
        self._quick_append = self._delivered.__setitem__
        self._pid = os.getpid()

    def ack(self, delivery_tag: str) -> None:
        """Remove the message, and let the main loop take the next one at once."""
        self.channel.messages.ack(delivery_tag)
        self._settled(delivery_tag)
        if self.channel.connection is not None:
            self.channel.connection.room_made()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Requeue the message at its old position, or move the message to the rejected messages."""
        if requeue:
            self.channel.messages.requeue(delivery_tag)
        else:
            self.channel.messages.reject(delivery_tag)
        self._settled(delivery_tag)

    def postpone(self, delivery_tag: str, until: float) -> None:
        """Let the message come again at `until` (seconds since the epoch).

        Raises OSError, and then the message stays taken.
        """
        self.channel.messages.later.postpone(delivery_tag, until)
        self._settled(delivery_tag)
        if self.channel.connection is not None:
            self.channel.connection.room_made()

    def restore_unacked(self) -> list[Any]:
        """Requeue all messages that are not settled."""
        self._flush()
        for tag in list(self._delivered):
            # `messages` remembers the message, and the next connection tries again.
            with suppress(OSError):
                self.channel.messages.requeue(tag)
        self._delivered.clear()
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Requeue the messages when the channel closes, but not in a forked child.

        A child that closes its copy of the channel must not touch the messages of its parent.
        """
        if os.getpid() == self._pid:
            self.restore_unacked()

    def _settled(self, tag: str) -> None:
        if tag in self._delivered:  # once: each call counts as room for another message
            self._quick_ack(tag)
