"""The parser of Redis's answers, with a limit for each text.

An item of a list may have 512 MB, and a worker has to take an item before it can refuse it. No
command tells the size of the item first: BRPOP takes an item from one of several lists in one step.
But the answer begins with the item's length. So an answer beyond the limit is skipped, piece by
piece, and only its beginning is kept. `parser_class` is a parameter of redis-py's connections.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

# redis-py 8 has these names here, and does not document them.
try:
    from redis._parsers.resp3 import _RESP3Parser
    from redis._parsers.socket import SocketBuffer
except ImportError:  # then only the server's `proto-max-bulk-len`, 512 MB, limits an answer
    _RESP3Parser = SocketBuffer = None  # type: ignore[assignment,misc]

#: Bytes that are kept of a text beyond the limit.
_KEPT = 4096
#: Bytes that are skipped at a time.
_PIECE = 2**20


class TooLong(bytes):
    """The beginning of a text that is longer than the limit.

    size: the bytes of the whole text.
    """

    size = 0


class BoundedBuffer(SocketBuffer or object):  # type: ignore[misc]
    """redis-py's buffer, whose `read` takes at most `limit` bytes (None: no limit)."""

    limit: int | None = None

    def read(self, length: int, *arguments: Any, **options: Any) -> bytes:
        """Return a text of `length` bytes, or its beginning (TooLong)."""
        if self.limit is None or length <= self.limit:
            return super().read(length, *arguments, **options)  # type: ignore[no-any-return]
        try:
            # The two additional bytes are the end of the line.
            found = TooLong(self._skipped(length + 2, *arguments, **options))
        except Exception as error:
            # Skipped bytes cannot be read again, which redis-py would try. The connection is
            # useless now.
            raise RedisConnectionError(f"an answer of {length} bytes broke off: {error}") from error
        found.size = length
        return found

    def _skipped(self, left: int, *arguments: Any, **options: Any) -> bytes:
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
    """Return redis-py's parser with a limit (bytes) for each text of an answer.

    Returns None if redis-py has no such parser.
    """
    if _RESP3Parser is None:
        return None

    class Parser(_RESP3Parser):
        def on_connect(self, connection: Any) -> None:
            """Connect as redis-py does, with a bounded buffer."""
            super().on_connect(connection)  # type: ignore[no-untyped-call]
            assert self._sock is not None  # noqa: S101  the connection was just made
            self._buffer = BoundedBuffer(
                self._sock, self.socket_read_size, connection.socket_timeout
            )
            self._buffer.limit = limit

    return Parser
