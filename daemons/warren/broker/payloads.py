"""Messages of Redis and of the embedded broker: JSON that any sender may have written.

kombu takes a message from its queue and then reads the fields without a check. A field that kombu
cannot read ends the worker, and the message is lost.
"""

from __future__ import annotations

import secrets
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import loads

from warren.broker.incoming import REFUSED, IncomingMessage, Unreadable
from warren.broker.message_size import SizeChecked
from warren.broker.nesting_depth import DEEPEST, is_shallow, may_be_deep

#: The most bytes of headers and properties together. RabbitMQ accepts as many.
_BESIDE = 256 * 1024


def longest(most: int) -> int:
    """Return the most bytes of a message whose body has at most `most` bytes.

    The body is in base64, which makes it longer.
    """
    return most * 4 // 3 + _BESIDE


def read(content: bytes, most: int | None) -> dict[str, Any]:
    """Return the message as kombu takes it, without its tag.

    Raises ValueError with the reason.
    """
    if most is not None and len(content) > longest(most):
        raise ValueError(
            f"expected a message of at most {most} bytes, found {len(content)} with its headers"
        )
    try:
        payload = loads(content)
    except RecursionError:
        raise ValueError(f"expected a message of at most {DEEPEST} levels, found more") from None
    except Exception as error:  # noqa: BLE001
        # kombu's JSON makes dates, numbers and bytes, and each of them raises errors of its own.
        raise ValueError(
            f"expected a message, found {type(error).__name__}: {str(error)[:100]}"
        ) from None
    check(payload, may_be_deep(content))
    return payload  # type: ignore[no-any-return]


def check(payload: Any, maybe_deep: bool = True) -> None:
    """Raise ValueError, with the reason, for JSON that is not a message."""
    if maybe_deep and not is_shallow(payload):
        raise ValueError(f"expected a message of at most {DEEPEST} levels, found more")
    if not isinstance(payload, dict) or not isinstance(
        properties := payload.get("properties"), dict
    ):
        raise ValueError("expected a message, found no object with properties")
    if not isinstance(payload.get("headers"), dict | None):
        raise ValueError("expected headers that are an object")
    if not isinstance(payload.get("body"), str | None):
        raise ValueError("expected a body that is a text")
    if properties.get("body_encoding") not in (None, "utf-8", "base64"):
        raise ValueError("expected a body in base64 or as it is")
    payload["headers"] = payload.get("headers") or {}
    info = properties.get("delivery_info")
    known = isinstance(info, dict) and all(
        isinstance(info.get(name), str) for name in ("exchange", "routing_key")
    )
    if not known:
        raise ValueError("expected delivery_info with an exchange and a routing_key")


def stand_in(reason: str, queue: str, content: bytes) -> dict[str, Any]:
    """Return a message that takes the place of a message that cannot be read.

    Its receiver rejects it, for `reason`.
    """
    return {
        "body": content.decode("utf-8", "replace"),
        "headers": {REFUSED: reason},
        "properties": {"delivery_info": {"exchange": "", "routing_key": queue}},
    }


def new_tag() -> str:
    """Return a new delivery tag.

    The tag that a message holds may be another message's tag: that message would be lost.
    """
    return secrets.token_hex(16)


class Message(virtual.Message, IncomingMessage):
    """A message of a virtual transport, refused if it is larger or deeper than Warren allows."""


class BoundedChannel(SizeChecked):
    """The base of the channels of Redis and of the embedded broker."""

    Message = Message
    connection: Any

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        #: The most bytes of a body. The number is kept in the channel, because a closed channel has
        #: no connection but may still be asked.
        self.largest_message: int | None = connection.client.transport_options.get(
            "largest_message"
        )
        super().__init__(connection, **kwargs)  # type: ignore[call-arg]

    def decode_body(self, body: Any, encoding: str | None = None) -> Any:
        """Return the decoded body.

        A body that cannot be decoded is returned unchanged, and marked as Unreadable.
        """
        try:
            return super().decode_body(body, encoding)  # type: ignore[misc]
        except ValueError:
            return Unreadable(body.encode("utf-8", "replace"))
