"""A way to Redis that breaks at one place.

The take has run on the server, and its answer never arrives.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: How Redis' answer to a take begins that has found a message: an array of four.
_MESSAGE = b"*4\r\n"


class Cut:
    """Passes everything on, until `at_the_next_message` is set."""

    def __init__(self, port: int) -> None:
        """`port` is Redis'."""
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.at_the_next_message = threading.Event()
        self.done = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, selectors.DefaultSelector() as ready, suppress(OSError):
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            asked = b""
            while True:
                for key, _ in ready.select():
                    piece = key.fileobj.recv(2**16)  # type: ignore[union-attr]
                    if not piece:
                        return
                    if key.fileobj is client:
                        asked = piece
                    elif self._is_place(asked, piece):
                        self.done.set()
                        return
                    key.data.sendall(piece)

    def _is_place(self, asked: bytes, answer: bytes) -> bool:
        if not (
            self.at_the_next_message.is_set() and b"EVAL" in asked and answer.startswith(_MESSAGE)
        ):
            return False
        self.at_the_next_message.clear()
        return True


@contextmanager
def cut_before(port: int) -> Iterator[Cut]:
    """A way to the Redis on that port."""
    made = Cut(port)
    try:
        yield made
    finally:
        made.close()
