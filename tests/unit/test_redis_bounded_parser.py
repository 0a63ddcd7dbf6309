"""Answers of Redis that are longer than a worker takes."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis._parsers.encoders import Encoder
from redis.exceptions import ConnectionError as RedisConnectionError

from warren.broker.redis.bounded_parser import TooLong, bounded_parser

LIMIT = 10_000


@pytest.fixture
def ends() -> Iterator[tuple[Any, socket.socket]]:
    """A parser that reads from a socket, and the socket that it hears."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        made: Any = bounded_parser(LIMIT)
        parser = made(65536)
        encoder = Encoder("utf-8", "strict", False)  # type: ignore[no-untyped-call]
        parser.on_connect(SimpleNamespace(_sock=ours, socket_timeout=60.0, encoder=encoder))
        yield parser, theirs


def say(theirs: socket.socket, *texts: bytes, end: bool = False) -> threading.Thread:
    """Send an answer as BRPOP's, of these texts, beside the reader."""

    def send() -> None:
        theirs.sendall(
            b"*%d\r\n" % len(texts)
            + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)
        )
        if end:
            theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_what_is_longer_is_read_past(ends: tuple[Any, socket.socket]) -> None:
    """The beginning and the length are kept, in little memory.

    The next answer is read as ever.
    """
    parser, theirs = ends
    long = b"ab" * 30_000_000
    tracemalloc.start()
    try:
        sender = say(theirs, b"queue", long)
        tracemalloc.reset_peak()
        base = tracemalloc.get_traced_memory()[0]
        key, found = parser.read_response()
        peak = tracemalloc.get_traced_memory()[1] - base
    finally:
        tracemalloc.stop()
    sender.join()
    assert (key, found, found.size) == (b"queue", long[:4096], len(long))
    # the sender's own answer is in it; the reader alone would add as much again
    assert peak < 130_000_000
    for text in (b"", b"x", b"x" * LIMIT):
        say(theirs, b"queue", text).join()
        assert parser.read_response() == [b"queue", text]
    say(theirs, b"x" * (LIMIT + 1), b"behind").join()
    first, second = parser.read_response()
    assert isinstance(first, TooLong)
    assert second == b"behind"


def test_an_answer_that_breaks_off_is_the_end_of_its_connection(
    ends: tuple[Any, socket.socket],
) -> None:
    """What was read past cannot be read again."""
    parser, theirs = ends
    theirs.sendall(b"$%d\r\n" % (10 * LIMIT) + b"x" * LIMIT)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(RedisConnectionError):
        parser.read_response()
