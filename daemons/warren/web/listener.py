"""The HTTP server in a thread of its own, beside the daemon's loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

from warren.config.addresses import Address
from warren.errors import Unavailable
from warren.web.client_connection import Connection, most_connections

#: Connections that the kernel keeps until they are taken.
_BACKLOG = 1024
#: Seconds that running requests have to end when the daemon stops.
_END = 3


def bound(address: Address) -> socket.socket:
    """Return a socket that listens at the address. Raises Unavailable."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"cannot listen at {address}: {error.strerror}; end the program that uses the port "
            f"(ss -ltnp 'sport = :{address.port}'), or set [web] listen"
        ) from error
    return listening


class Listener:
    """The server. `start` before, and `answers` while, the daemon's loop runs."""

    def __init__(self, application: Any, listening: socket.socket) -> None:
        self._socket = listening
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                # Warren logs what was sent and what was refused; each request would be a flood.
                access_log=False,
                log_config=None,
                # Its warnings are about what any client may send as often as it likes.
                log_level=logging.ERROR,
                backlog=_BACKLOG,
                limit_concurrency=most_connections() + 1,
                timeout_graceful_shutdown=_END,
                lifespan="off",
                ws="none",
                http=Connection,  # h11, which limits the size of a request's head
                server_header=False,
                # The header of a proxy says who sends, and any client may write it.
                proxy_headers=False,
            )
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def answers(self, timeout: float) -> bool:
        """Return whether the server's own loop works: whether it does a call within `timeout` s."""
        if self._loop is None:
            return self._thread.is_alive()
        done = threading.Event()
        try:
            self._loop.call_soon_threadsafe(done.set)
        except RuntimeError:  # the loop is closed
            return False
        return done.wait(timeout)

    def call(self, act: Callable[[], object]) -> None:
        """Have the server's loop call `act`, between two requests."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(act)

    def stop(self) -> None:
        """Take no more connections; wait until running requests have ended, or had their time."""
        self._server.should_exit = True
        self._thread.join(_END + 1)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve([self._socket])
