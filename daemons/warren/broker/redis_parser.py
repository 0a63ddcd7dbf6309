"""Answers of Redis, read up to a limit: an item of a list may have 512 MB, and a worker takes it before it can refuse it.

No command tells the size of an item before it is taken: BRPOP takes it, in one step, from one of several lists. But
the answer begins with its length. What is longer than the limit is read past, piece by piece, and what is kept of it
is its beginning. `parser_class` is a parameter of redis-py's connections.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

try:  # redis-py 8 has them here; they are not among what it documents
    from redis._parsers.resp3 import _RESP3Parser
    from redis._parsers.socket import SocketBuffer
except ImportError:  # elsewhere: then nothing bounds an answer but `proto-max-bulk-len` of the server, 512 MB
    _RESP3Parser = SocketBuffer = None  # type: ignore[assignment,misc]

#: Bytes of a text that is too long which are kept.
_KEPT = 4096
#: Bytes that are read past at a time.
_PIECE = 2**20


class TooLong(bytes):
    """The beginning of a text that is longer than the limit."""

    size = 0


class BoundedBuffer(SocketBuffer or object):  # type: ignore[misc]
    """redis-py's buffer, whose `read` takes at most `limit` bytes (None has none)."""

    limit: int | None = None

    def read(self, length: int, *arguments: Any, **options: Any) -> bytes:
        """Return so many bytes of a text, or its beginning (TooLong)."""
        if self.limit is None or length <= self.limit:
            return super().read(length, *arguments, **options)  # type: ignore[no-any-return]
        try:
            found = TooLong(self._past(length + 2, *arguments, **options))  # with the end of its line
        except Exception as error:
            # What was read past cannot be read again, as redis-py would try: the connection is of no use any more.
            raise RedisConnectionError(f"an answer of {length} bytes broke off: {error}") from error
        found.size = length
        return found

    def _past(self, left: int, *arguments: Any, **options: Any) -> bytes:
        kept = b""
        while left:
            piece = self._buffer.read(min(left, _PIECE))
            if not piece:
                self._buffer.seek(0)
                self._buffer.truncate()
                self._read_from_socket(min(left, _PIECE), *arguments, **options)
                continue
            kept += piece[: _KEPT - len(kept)]
            left -= len(piece)
        return kept


def bounded_parser(limit: int) -> type[Any] | None:
    """Return redis-py's parser of answers with this limit, in bytes, for each text in them; None if there is no such parser."""
    if _RESP3Parser is None:
        return None

    class Parser(_RESP3Parser):
        def on_connect(self, connection: Any) -> None:
            """As redis-py's."""
            super().on_connect(connection)  # type: ignore[no-untyped-call]
            assert self._sock is not None  # noqa: S101  it has just connected
            self._buffer = BoundedBuffer(self._sock, self.socket_read_size, connection.socket_timeout)
            self._buffer.limit = limit

    return Parser
