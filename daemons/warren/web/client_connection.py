"""One connection of a client: how long the client may take, and how many clients there may be.

uvicorn waits for ever for the first request of a connection, for the rest of a request's head, and
for a client that does not read its answer. Each of them would keep one of the few connections.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds from the start of a connection, or from the end of an answer, in which the whole head of
#: the next request must have arrived.
_HEAD = 15.0
#: Seconds that a client may read nothing of an answer that waits for it.
_READ = 60.0
#: Seconds that the end of an answer has to leave a connection that is closed.
_LINGER = 5.0
_MOST = 1000


def most_connections() -> int:
    """Return the most connections at once: half of the files that this process may open."""
    return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Connection(H11Protocol):
    """uvicorn's connection, with its time limited in each state."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = self.loop.time()

    @property
    def busy(self) -> bool:
        """Return whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request. With too many connections, close the one idle for longest.

        So a client that opens connections and sends nothing takes only their room from the others.
        """
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > most_connections():
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._wait(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has arrived; stop the clock when it is a request."""
        super().handle_events()
        if self.busy:
            self._wait(None)
            names = {name for name, _ in self.scope["headers"]}
            if {b"content-length", b"transfer-encoding"} <= names:
                # A proxy may have seen another end of this request (RFC 9112, 6.1): what follows
                # on the connection may be what a client has hidden in its body.
                self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        self._await_head()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait until the client reads."""
        super().pause_writing()
        self._wait(_READ)

    def resume_writing(self) -> None:
        """Stop the clock: the client reads."""
        super().resume_writing()
        if self.busy:
            self._wait(None)
        else:
            self._await_head()

    def _make_room(self) -> None:
        # Those that close are still listed until the loop's next turn.
        open_ones = [
            each
            for each in self.connections
            if isinstance(each, Connection) and not each.transport.is_closing()
        ]
        idle = [each for each in open_ones if not each.busy]
        if idle and len(open_ones) > most_connections():
            min(idle, key=lambda each: each._idle_since).transport.abort()

    def _await_head(self) -> None:
        self._idle_since = self.loop.time()
        self._wait(_HEAD)

    def _wait(self, seconds: float | None) -> None:
        """Close the connection after so many seconds; None: not at all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self.transport.close()
        # `close` waits until the client has read all, which it may never do.
        self._timer = self.loop.call_later(_LINGER, self.transport.abort)
