"""Compressed bodies, and how they are unpacked up to a limit.

A limit is needed: 2 kB of bzip2 may hold 3 GB.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from kombu.exceptions import EncodeError

#: The most bytes of memory that an lzma decompressor may use. The largest preset takes 65 MiB.
_LZMA_MEMORY = 128 * 2**20
_ZLIB: Callable[[], Any] = zlib.decompressobj
_LZMA: Callable[[], Any] = lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)  # noqa: E731
#: kombu's names of the compressions that can be unpacked up to a limit. Others are refused.
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), _ZLIB),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), _LZMA),
}


class TooLarge(EncodeError):
    """The sender may not send a message of this size: workers would reject the message.

    Celery does not send the message again.
    """

    def __init__(self, size: int, most: int) -> None:
        text = f"expected a message of at most {most} bytes, found {size} or more"
        super().__init__(f"{text}; send a reference to the data, or raise [broker] largest_message")
        self.size, self.most = size, most

    def __reduce__(self) -> tuple[type[TooLarge], tuple[int, int]]:
        return TooLarge, (self.size, self.most)  # from a pool child to its worker


class HeadersTooLarge(EncodeError):
    """RabbitMQ never takes a message with headers of this size: it would close the connection.

    Celery does not send the message again.
    """

    def __init__(self, size: int, most: int) -> None:
        super().__init__(
            f"expected headers of at most {most} bytes, found {size}; send the data as arguments"
        )
        self.size, self.most = size, most

    def __reduce__(self) -> tuple[type[HeadersTooLarge], tuple[int, int]]:
        return HeadersTooLarge, (self.size, self.most)  # from a pool child to its worker


def unpacked(body: Any, compression: Any, most: int) -> bytes:
    """Return the body uncompressed.

    Raises ValueError with the reason; also when the unpacked body has more than `most` bytes.
    """
    make = _DECOMPRESSORS.get(compression) if isinstance(compression, str) else None
    if make is None:
        raise ValueError("expected a compression by gzip, bzip2 or lzma, found another compression")
    decompressor = make()
    try:
        content: bytes = decompressor.decompress(
            body.encode() if isinstance(body, str) else bytes(body or b""), most + 1
        )
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, TypeError, MemoryError):
        raise ValueError(
            "expected a compressed body, found a body that cannot be unpacked"
        ) from None
    if len(content) > most:
        raise ValueError(f"expected a body of at most {most} bytes when unpacked, found more")
    if not decompressor.eof:
        raise ValueError("expected a compressed body, found only its beginning")
    return content


def check_size(body: Any, headers: dict[str, Any] | None, most: int | None) -> None:
    """Raise TooLarge for a body that workers would reject: too large as it is, or when unpacked."""
    if most is None:
        return
    size = len(body.encode() if isinstance(body, str) and not body.isascii() else body or b"")
    if size > most:
        raise TooLarge(size, most)
    if headers and (compression := headers.get("compression")) in _DECOMPRESSORS:
        try:
            unpacked(body, compression, most)
        except ValueError:
            raise TooLarge(most + 1, most) from None
