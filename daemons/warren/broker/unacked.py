"""What a consumer of the embedded broker has taken and not settled."""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from kombu.transport import virtual


class QoS(virtual.QoS):
    """The unsettled messages of a channel: each is a file in this process's own folder, and its delivery tag says which."""

    def __init__(self, channel: Any, prefetch_count: int = 0) -> None:
        # Not the base's: it would have the interpreter's exit give messages back, in forked children too. Here a process that
        # ends without a word is simply dead, and `restore_dead` does it.
        self.channel = channel
        self.prefetch_count = prefetch_count
        self._delivered: OrderedDict[str, Any] = OrderedDict()
        self._dirty: set[str] = set()
        self._quick_ack = self._dirty.add
        self._quick_append = self._delivered.__setitem__
        self._pid = os.getpid()

    def ack(self, delivery_tag: str) -> None:
        """Removes the message, and lets the main loop take the next one at once."""
        self.channel.messages.ack(delivery_tag)
        self._settled(delivery_tag)
        if self.channel.connection is not None:
            self.channel.connection.room_made()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Back to its place in the queue, or to the rejected ones."""
        if requeue:
            self.channel.messages.give_back(delivery_tag)
        else:
            self.channel.messages.reject(delivery_tag)
        self._settled(delivery_tag)

    def postpone(self, delivery_tag: str, until: float) -> None:
        """Has the message come again at that moment (seconds, wall clock). Raises OSError; the message is still taken then."""
        self.channel.messages.later.postpone(delivery_tag, until)
        self._settled(delivery_tag)
        if self.channel.connection is not None:
            self.channel.connection.room_made()

    def restore_unacked(self) -> list[Any]:
        """Gives everything back that is not settled."""
        self._flush()
        for tag in list(self._delivered):
            with suppress(OSError):  # kept in mind by `messages`, and tried again from the next connection
                self.channel.messages.give_back(tag)
        self._delivered.clear()
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """When the channel closes. A forked child that closes its copy leaves its parent's messages alone."""
        if os.getpid() == self._pid:
            self.restore_unacked()

    def _settled(self, tag: str) -> None:
        if tag in self._delivered:  # not twice: each counts as room for another message
            self._quick_ack(tag)
