"""Frames of RabbitMQ with a message that py-amqp cannot read, or that is too large.

py-amqp reads tables by recursion. A header of 20 kB, nested 3000 deep, raises RecursionError out of
the worker's main loop. A key that is not UTF-8, and a time beyond all calendars, raise errors there
as well. `frame_handler` is a parameter of py-amqp's Connection.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import pack, unpack_from
from typing import Any

from amqp.basic_message import Message
from amqp.method_framing import frame_handler
from amqp.spec import Basic

from warren.broker.incoming import REFUSED

_HEADER, _BODY = 2, 3
#: The property flag for the table of headers, which is the third property.
_HEADERS_ALONE = 1 << 13

Frame = tuple[int, int, Any]


def bounded_handler(connection: Any, callback: Callable[..., Any]) -> Callable[[Frame], Any]:
    """Return py-amqp's handler of frames, with a check of each message's header before it.

    A message that cannot be read is replaced by a message with the same delivery tag and the reason
    (`REFUSED`). So a message arrives, and is rejected once. The body of a message that is too large
    is dropped.
    """
    handle = frame_handler(connection, callback)
    skipped: dict[int, int] = {}

    def on_frame(frame: Frame) -> Any:
        kind, channel, content = frame
        if kind == _HEADER:
            size = unpack_from(">Q", content, 4)[0]
            most = connection.largest_message
            if most is not None and size > most:
                skipped[channel] = size
                return handle(
                    (
                        kind,
                        channel,
                        _stand_in(f"expected a message of at most {most} bytes, found {size}", 0),
                    )
                )
            # A message without a body is complete with its header, and is handled before `handle`
            # returns.
            if not size:
                reason = _read_failure(Message().inbound_header, content)
                return handle((kind, channel, _stand_in(reason, 0)) if reason else frame)
            if reason := _read_failure(handle, frame):  # py-amqp still waits for the header then
                return handle((kind, channel, _stand_in(reason, size)))
            return False
        elif kind == _BODY and skipped.get(channel, 0) > 0:
            skipped[channel] -= len(content)
            return False
        return handle(frame)

    return on_frame


def _read_failure(read: Callable[[Any], Any], content: Any) -> str:
    """Return why the header cannot be read; an empty text when it was read."""
    try:
        read(content)
    except RecursionError:
        return "expected headers that are not nested so deeply"
    except Exception as error:  # noqa: BLE001  py-amqp may raise any error for a foreign table
        return f"expected headers of AMQP, found {type(error).__name__}"
    return ""


def _stand_in(reason: str, size: int) -> bytes:
    """Return a content header of AMQP 0-9-1 whose only property is a table with the reason."""
    key, value = REFUSED.encode(), reason.encode()
    table = pack("B", len(key)) + key + b"S" + pack(">I", len(value)) + value
    return pack(">HHQH", Basic.CLASS_ID, 0, size, _HEADERS_ALONE) + pack(">I", len(table)) + table


def readable(payload: Any) -> Any:
    """Return the arguments of a delivery, with a routing key that is a text.

    RabbitMQ accepts any bytes as a routing key, and a binding with a wildcard lets such a message
    through.
    """
    exchange = 5 + payload[4] + 9  # class and method, consumer tag, delivery tag, flags
    key = exchange + 1 + payload[exchange]
    end = key + 1 + payload[key]
    text = bytes(payload[exchange + 1 : key]) + bytes(payload[key + 1 : end])
    if text.isascii():
        return payload
    shown = bytes(byte if byte < 128 else ord("?") for byte in payload[key + 1 : end])
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return bytes(payload[: key + 1]) + shown
    return payload
