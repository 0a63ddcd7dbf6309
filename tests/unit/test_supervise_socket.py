"""The client of supervisord where another process has put its own socket under the name.

Every task may do so.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xmlrpc.client import dumps

import pytest

from warren.control import supervisord_client
from warren.errors import Unavailable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def answer(said: Any) -> bytes:
    """An answer that says this."""
    text = dumps((said,), methodresponse=True).encode()
    return HEAD % len(text) + text


def drops(head: bytes, pause: float) -> Iterator[bytes]:
    """The head, then one byte at a time, without an end."""
    yield head
    while True:
        time.sleep(pause)  # load: the pace of an answer; nobody waits for it
        yield b"x"


@pytest.fixture
def asked(scratch: Path) -> Any:
    """Asks for the programs where this answers; ends with the test."""
    servers: list[socket.socket] = []

    def ask(said: Iterable[bytes]) -> Any:
        server = socket.socket(socket.AF_UNIX)
        servers.append(server)
        server.bind(str(scratch / "supervisor.sock"))
        server.listen()

        def serve() -> None:
            with suppress(OSError):
                there, _ = server.accept()
                with there:
                    heard = b""
                    while b"</methodCall>" not in heard:  # head and body come one after the other
                        heard += there.recv(65536)
                    for part in said:
                        there.sendall(part)

        threading.Thread(target=serve, daemon=True).start()
        settings: Any = SimpleNamespace(app=SimpleNamespace(run_dir=scratch))
        return supervisord_client.programs(settings)

    yield ask
    for server in servers:
        server.close()


@pytest.mark.parametrize("head", [b"", HEAD % 1_000_000, b"HTTP/1.1 200 OK\r\nX: "])
def test_an_answer_byte_by_byte_has_one_time_limit(
    asked: Any, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a byte comes: each alone is in time."""
    monkeypatch.setattr(supervisord_client, "TIMEOUT", 0.5)
    with pytest.raises(Unavailable, match="timed out"):
        asked(drops(head, 0.05))


def test_an_answer_without_an_end_is_given_up(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills no memory."""
    monkeypatch.setattr(supervisord_client, "LARGEST", 1 << 20)
    with pytest.raises(Unavailable, match="more than 1048576 bytes"):
        asked(itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(b"x" * 65536)))


@pytest.mark.parametrize(
    "said",
    [
        *map(answer, (1, "text", [1], [{}], [{"name": 1}], {"name": "x"})),
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD % 3 + b"\xff\xff\xff",
        HEAD % 90
        + b"<methodResponse><params><param><value><int>x</int></value>"
        + b"</param></params></methodResponse>",
        HEAD % 20 + b"<methodResponse></x>",
        HEAD % 33 + b"<methodResponse></methodResponse>",
        HEAD % 44 + b"<methodResponse><value></methodResponse></value>",
        HEAD % 40 + b"<value><struct></struct></struct></value>",
        HEAD % 77
        + b"<methodResponse><fault><value><int>1</int></value></fault></methodResponse>  ",
        b"",
    ],
)
def test_an_answer_that_is_none_is_no_traceback(asked: Any, said: bytes) -> None:
    """Whatever it is, supervisord does not answer."""
    with pytest.raises(Unavailable, match="does not answer"):
        asked([said])


def test_an_answer_is_taken(asked: Any) -> None:
    """The true one, as supervisord gives it."""
    said = {
        "name": "beat",
        "group": "beat",
        "statename": "RUNNING",
        "pid": 7,
        "spawnerr": "",
        "stdout_logfile": "/x",
    }
    assert asked([answer([{**said, "more": 1}])]) == [
        supervisord_client.Program("beat", "RUNNING", 7, "", Path("/x"))
    ]
