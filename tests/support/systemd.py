"""A stand-in for systemd: the socket that a service tells how it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Listener:
    """What came in, as datagrams of NAME=value.

    Each has the second (CLOCK_MONOTONIC) at which it was read.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._socket = listening
        self.address = ""
        self.heard: list[tuple[float, dict[str, str]]] = []

    def listen(self) -> list[dict[str, str]]:
        """Everything that was said so far."""
        while True:
            try:
                said = self._socket.recv(65536).decode("utf-8")
            except BlockingIOError:
                return [arguments for _, arguments in self.heard]
            self.heard.append(
                (time.monotonic(), dict(line.split("=", 1) for line in said.splitlines()))
            )

    def said(self, name: str) -> list[str]:
        """Each value that this word had, in order."""
        return [arguments[name] for arguments in self.listen() if name in arguments]


@contextmanager
def systemd(directory: Path, abstract: bool = False) -> Iterator[Listener]:
    """Listens at a path, or under an abstract name."""
    name = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listening:
        listening.bind(f"\0{name}" if abstract else name)
        listener = Listener(listening)
        listener.address = f"@{name}" if abstract else name
        yield listener
