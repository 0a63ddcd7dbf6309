"""Messages as they arrive: bounded before kombu and py-amqp unpack or decode anything of them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import tracemalloc
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.basic_message import Message as AmqpMessage
from amqp.spec import Basic
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import DecodeError

from support.fuzz import bomb, deep, deep_array, deep_table, nested, raws
from warren.broker.decompression import TooLarge, check_size, unpacked
from warren.broker.incoming import IncomingMessage
from warren.broker.payloads import Message, read
from warren.broker.rabbitmq.frames import bounded_handler, readable

MOST = 2**20
TEXT = b"[[1, 2], {}, {}]" * 100


@pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress), ("lzma", lzma.compress)]
)
def test_what_fits_is_unpacked(name: str, pack: Any) -> None:
    """A compressed body that is no larger than the limit arrives unchanged.

    A body that is cut off or damaged gets a reason.
    """
    packed = zlib.compress(TEXT) if name == "gzip" else pack(TEXT)
    assert unpacked(packed, name, len(TEXT)) == TEXT
    for bad in (packed[:-5], packed[:-5] + b"xxxxx", b"", None, "ä", b"\xff" * 50):
        with pytest.raises(ValueError, match="expected a compressed body"):
            unpacked(bad, name, MOST)
    with pytest.raises(ValueError, match="when unpacked"):
        unpacked(packed, name, len(TEXT) - 1)


def test_a_bomb_takes_no_memory() -> None:
    """Of a body that unpacks to 60 MB no more than the limit is made."""
    content = bomb()
    tracemalloc.start()
    try:
        arrived = IncomingMessage(
            content, channel=SimpleNamespace(largest_message=MOST), headers={"compression": "bzip2"}
        )
        assert tracemalloc.get_traced_memory()[1] < 8 * MOST
    finally:
        tracemalloc.stop()
    assert arrived.refusal == f"expected a body of at most {MOST} bytes when unpacked, found more"
    with pytest.raises(DecodeError, match="when unpacked"):
        arrived.decode()


@pytest.mark.parametrize("name", ["zstd", "brotli", "x", ["gzip"], {"a": 1}, 5])
def test_what_cannot_be_bounded_is_refused(name: Any) -> None:
    """A compression without a limit of its own is not tried."""
    arrived = IncomingMessage(
        b"x", channel=SimpleNamespace(largest_message=MOST), headers={"compression": name}
    )
    assert "expected a compression" in arrived.refusal


@pytest.mark.parametrize(
    "encoding", ["zlib", "bz2", "base64", "hex", "rot13", "\0", ["utf-8"], 5, "x" * 100]
)
def test_an_encoding_is_one_of_texts(encoding: Any) -> None:
    """Python's table of codecs has some that unpack."""
    arrived = IncomingMessage(
        b"x", channel=SimpleNamespace(largest_message=MOST), headers={}, content_encoding=encoding
    )
    assert "encoding" in arrived.refusal


def test_a_sender_is_told() -> None:
    """A body that the workers would reject is an error that names the option.

    This holds for the body as it is and unpacked.
    """
    check_size(b"x" * MOST, {}, MOST)
    check_size(b"x" * (MOST + 1), {}, None)
    for body, headers in (
        (b"x" * (MOST + 1), {}),
        (bomb(), {"compression": "bzip2"}),
        ("ä" * MOST, {}),
    ):
        with pytest.raises(TooLarge, match=r"raise \[broker\] largest_message"):
            check_size(body, headers, MOST)


@pytest.mark.parametrize("foul", raws(), ids=lambda foul: foul.name)
def test_what_is_no_message_has_a_reason(foul: Any) -> None:
    """Anything may stand in Redis' list or in a file: it is read, or refused with a reason.

    kombu's own message can be made of it.
    """
    try:
        payload = read(foul.raw, MOST)
    except ValueError as error:
        reason = str(error)
    else:
        payload["properties"]["delivery_tag"] = "x"
        made = Message(
            payload,
            channel=SimpleNamespace(largest_message=MOST, decode_body=lambda body, encoding: body),
        )
        assert isinstance(made.headers, dict)
        return
    assert reason.startswith("expected ")


def test_depth_and_size_of_a_payload_are_bounded() -> None:
    """A message is refused when it is too deep or too large.

    The limit is the largest body in base64 with its headers.
    """
    whole: dict[str, Any] = {
        "body": "",
        "properties": {"delivery_info": {"exchange": "", "routing_key": "x"}},
    }
    for content in (
        json.dumps({**whole, "headers": {"x": deep(250)}}).encode(),
        nested(100_000).encode(),
        json.dumps({**whole, "body": "x" * 3 * MOST}).encode(),
    ):
        with pytest.raises(ValueError, match="of at most"):
            read(content, MOST)


class Frames:
    """py-amqp's handler of frames behind Warren's, and what came of it."""

    def __init__(self) -> None:
        self.arrived: list[Any] = []
        self.handle = bounded_handler(
            SimpleNamespace(bytes_recv=0, largest_message=MOST),
            lambda *found: self.arrived.append(found),
        )

    def deliver(self, table: bytes, body: bytes) -> Any:
        """A message with this table of headers, in frames of 100 kB; what arrives."""
        self.handle(
            (
                1,
                1,
                struct.pack(">HH", *Basic.Deliver)
                + b"\x01c"
                + struct.pack(">Q", 7)
                + b"\0\x06warren\x01k",
            )
        )
        head = (
            struct.pack(">HHQH", 60, 0, len(body), 1 << 13) + struct.pack(">I", len(table)) + table
        )
        self.handle((2, 1, head))
        for start in range(0, len(body), 100_000):
            self.handle((3, 1, body[start : start + 100_000]))
        return self.arrived[-1][3]


GOOD = b"\x04taskS\0\0\0\x08jobs.add"
TABLES = {
    "3000 deep": deep_table(3000),
    "arrays 20,000 deep": deep_array(20_000),
    "a kind that is none": b"\x01a?" + b"\xff" * 8,
    "a time beyond all": b"\x01aT" + b"\xff" * 8,
    "cut off": b"\x01aS\xff\xff",
}


@pytest.mark.parametrize("body", [b"", b"x" * 250_000])
@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_read_arrives_as_a_refusal(case: str, body: bytes) -> None:
    """It keeps its delivery and its body, and the next message arrives as ever."""
    frames = Frames()
    message = frames.deliver(TABLES[case], body)
    assert message.properties["application_headers"]["warren_refused"].startswith("expected ")
    assert not body or bytes(message.body) == body
    assert frames.deliver(GOOD, b"y" * 150_000).properties["application_headers"] == {
        "task": "jobs.add"
    }
    assert len(frames.arrived) == 2


def test_the_body_of_a_large_message_is_not_kept() -> None:
    """The message arrives as a refusal before its body, which is passed over.

    The next message arrives as ever.
    """
    frames = Frames()
    message = frames.deliver(GOOD, b"x" * (MOST + 1))
    assert "of at most" in message.properties["application_headers"]["warren_refused"]
    assert frames.deliver(GOOD, b"y").body == b"y"
    assert len(frames.arrived) == 2


@given(table=st.binary(max_size=60), body=st.binary(max_size=20))
def test_no_table_stops_the_frames(table: bytes, body: bytes) -> None:
    """Whatever the bytes of a table are, the message arrives, and so does the next one."""
    frames = Frames()
    assert isinstance(frames.deliver(table, body), AmqpMessage)
    assert frames.deliver(GOOD, b"y").properties["application_headers"] == {"task": "jobs.add"}


@given(exchange=st.binary(max_size=20), key=st.binary(max_size=20))
def test_a_routing_key_is_a_text(exchange: bytes, key: bytes) -> None:
    """RabbitMQ takes any bytes as a key; py-amqp then reads a text, of the same length."""
    payload = struct.pack(">HH", *Basic.Deliver) + b"\x01c" + struct.pack(">Q", 2**62) + b"\0"
    made = bytes(readable(payload + b"\x01w" + bytes([len(key)]) + key))
    made[len(payload) + 3 :].decode("utf-8", "surrogatepass")
    assert len(made) == len(payload) + 3 + len(key)
