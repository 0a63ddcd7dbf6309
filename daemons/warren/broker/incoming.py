"""A message as it arrives. Its size is checked before kombu unpacks or decodes any part of it.

This is the base class of the message classes of all three brokers. A message that cannot be taken
has a `refusal`: the reason with which its receiver rejects it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any, ClassVar

from kombu.exceptions import DecodeError
from kombu.message import Message as KombuMessage

from warren.broker.decompression import unpacked

#: The header with the reason why a transport has replaced a message that cannot even be read.
REFUSED = "warren_refused"
#: Encodings that are known without Python's table of codecs.
_KNOWN = frozenset(("", "utf-8", "utf8", "us-ascii", "binary", "ascii-8bit"))


class Unreadable(bytes):
    """A body in its encoded form, because it could not be decoded from its encoding."""


class IncomingMessage(KombuMessage):
    """kombu's message, with the limits of its channel.

    The channel's `largest_message` is the most bytes of a body; None: no limit.
    """

    refusal = ""
    #: Called with the body and the headers of each message before any other code reads them.
    noted: ClassVar[Callable[[Any, Any], None]] = staticmethod(lambda body, headers: None)

    def __init__(
        self, body: Any = None, channel: Any = None, headers: Any = None, **fields: Any
    ) -> None:
        IncomingMessage.noted(body, headers)
        headers = headers if isinstance(headers, dict) else {}
        most = getattr(channel, "largest_message", None)
        self.refusal = self._refusal(body, headers, fields.get("content_encoding"), most)
        # Without a limit the connection is not one of Warren's, and kombu unpacks the body. A
        # refused message is not unpacked at all.
        if "compression" in headers and (self.refusal or most is not None):
            compression = headers.pop("compression")
            if compression and not self.refusal:
                try:
                    body = unpacked(body, compression, most or 0)
                except ValueError as error:
                    self.refusal = str(error)
        super().__init__(body=body, channel=channel, headers=headers, **fields)

    @staticmethod
    def _refusal(body: Any, headers: dict[str, Any], encoding: Any, most: int | None) -> str:
        if REFUSED in headers:
            return str(headers.pop(REFUSED))[:200]
        if isinstance(body, Unreadable):
            return "expected a body in base64, found something else"
        if body is not None and not isinstance(body, str | bytes | bytearray | memoryview):
            return "expected a body that is a text, found something else"
        if most is not None and body is not None and len(body) > most:
            return f"expected a message of at most {most} bytes, found {len(body)}"
        if not _is_text_encoding(encoding):
            return "expected the name of a text's encoding, found another name"
        return ""

    def decode(self) -> Any:
        """Return the decoded body. Raises DecodeError; also when the message is refused."""
        if self.refusal:
            raise DecodeError(self.refusal)
        return super().decode()


def _is_text_encoding(name: Any) -> bool:
    """Return whether `name` is an encoding of texts.

    Some of Python's codecs are not: `zlib`, for example.
    """
    if name is None or name in ("utf-8", "utf8"):
        return True
    if not isinstance(name, str) or len(name) > 40:
        return False
    if name.lower() in _KNOWN:
        return True
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False
