"""Messages as a hostile or broken client sends them.

They are the review's corpus, and mutations by a seeded dice.

A `Foul` is what such a client writes: headers, properties and a body for a broker that takes a
message apart, or `raw`, what it writes past all clients into Redis' list or the embedded broker's
directory.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import random
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

#: The queue of plain tasks, and the one of tasks under a quota.
PLAIN, GOVERNED = "default", "calls"


@dataclass
class Foul:
    """One message; `key` is its routing key. Whether it is bad is for the worker to say."""

    name: str
    key: str = PLAIN
    headers: Any = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    body: bytes = b"[[1, 2], {}, {}]"
    content_type: Any = "application/json"
    content_encoding: Any = "utf-8"
    raw: bytes | None = None
    #: A table of AMQP in the place of the headers, as bytes.
    table: bytes | None = None


def nested(depth: int) -> str:
    """JSON nested so deeply."""
    return "[" * depth + "]" * depth


def deep(depth: int, kind: Any = None) -> Any:
    """A value nested so deeply: lists, or objects."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is None else {"a": value}
    return value


def deep_table(depth: int) -> bytes:
    """A table of AMQP with a table in a table in a table."""
    table = b""
    for _ in range(depth):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


def deep_array(depth: int) -> bytes:
    """A table of AMQP with an array in an array."""
    array = b""
    for _ in range(depth):
        array = b"A" + struct.pack(">I", len(array)) + array
    return b"\x01a" + array


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """A kilobyte or two that unpack to 60 MB."""
    return bz2.compress(b"0" * 60_000_000, 9)


def _task(name: str, key: str, **headers: Any) -> Foul:
    task = "jobs.call" if key == GOVERNED else "jobs.add"
    return Foul(name, key, {"task": task, "id": f"foul-{name}", **headers})


def corpus() -> list[Foul]:
    """The messages of the review, and their siblings, to both queues."""
    found: list[Foul] = []
    for key in (PLAIN, GOVERNED):
        task = "jobs.call" if key == GOVERNED else "jobs.add"

        def one(name: str, key: str = key, **headers: Any) -> Foul:
            made = _task(f"{key}-{name}", key, **headers)
            found.append(made)
            return made

        old = {"task": task, "id": "q1", "args": [1, 2], "kwargs": {}, "timelimit": ["x", "x"]}
        one("M1").headers, found[-1].body = {}, json.dumps(old).encode()
        one("M1-id", id=["a"])
        one("M1-nested-limit", timelimit=[["x"], ["x"]])
        one("M1-retries", retries="many")
        one("M2-985").headers["x"] = deep(980)
        one("M2-objects").headers["x"] = deep(700, {})
        one("M2-3000").table = deep_table(3000)
        one("M2-arrays").table = deep_array(20000)
        one("M2-body").body = f"[[{nested(100_000)}], {{}}, {{}}]".encode()
        one("M2-body-700").body = f"[[{nested(700)}], {{}}, {{}}]".encode()
        one("M3-path", id="https://example.org/page/1")
        one("M3-long", id="x" * 250)
        one("M3-nul", id="a\0b")
        one("M3-dots", id="../../etc/passwd")
        one("M4", compression="bzip2").body = bomb()
        one("M4-gzip", compression="gzip").body = gzip.compress(b"0" * 30_000_000)
        one("M4-lzma", compression="lzma").body = lzma.compress(b"0" * 30_000_000)
        one("M4-unknown", compression="brotli").body = b"x"
        one("M4-kind", compression=["gzip"])
        one("M4-codec").content_encoding = "zlib"
        one("Q1", expires="2026W4872210")
        one("Q1-number", expires=5)
        one("Q2", eta="2030-12-30T24:00:00")
        one("Q2-far", eta="2090-01-01T00:00:00Z")
        one("crashes", warren_crashes=-1000000)
        one("tickets", warren_tickets={"provider": [[0, 1]]})
        one("tickets-kind", warren_tickets=5)
        one("hides", get=5)
        one(
            "eager"
        ).body = b'[[1, 2], {}, {"is_eager": true, "warren_tickets": {"provider": [[0, 1]]}}]'
        one("priority").properties["priority"] = 9
        one("unknown").headers["task"] = "jobs.nobody"
        one("pickle").content_type = "application/x-python-serialize"
        one("data").content_type = "application/data"
        one("large").body = b'[["' + b"x" * 3_000_000 + b'"], {}, {}]'
        one("key").table = b"\x02\xff\xfeS\0\0\0\0"
        one("time").table = b"\x01aT" + b"\xff" * 8
        one("kind").table = b"\x01a?" + b"\xff" * 8
        one("cut").table = b"\x01aS\xff\xff\xff\xff"
    return found + raws()


def raws() -> list[Foul]:
    """Yield what is no message at all.

    It is for the brokers that take whatever stands in their list or directory.
    """
    whole = {
        "body": "",
        "headers": {},
        "properties": {"delivery_info": {"exchange": "", "routing_key": "default"}},
    }
    parts: list[Any] = [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"5",
        b'"x"',
        nested(985).encode(),
        nested(100_000).encode(),
        {"body": "x"},
        {**whole, "properties": None},
        {**whole, "properties": []},
        {**whole, "properties": {}},
        {**whole, "properties": {"delivery_info": {}}},
        {**whole, "properties": {"delivery_info": {"exchange": 5, "routing_key": None}}},
        {**whole, "properties": {**whole["properties"], "body_encoding": "base64"}, "body": "x"},  # type: ignore[dict-item]
        {**whole, "properties": {**whole["properties"], "body_encoding": ["x"]}, "body": "x"},  # type: ignore[dict-item]
        {**whole, "properties": {**whole["properties"], "delivery_tag": {"a": 1}}},  # type: ignore[dict-item]
        {**whole, "headers": [1]},
        {**whole, "headers": {"a": deep(500)}},
        {**whole, "headers": {"compression": {"a": 1}}},
        {**whole, "body": 5},
        {**whole, "body": ["x"]},
        {**whole, "body": "\ud800"},
        {**whole, "content-type": {"a": 1}, "content-encoding": [1]},
        {**whole, "headers": {"x": {"__type__": "decimal", "__value__": "x"}}},
        {**whole, "headers": {"x": {"__type__": "datetime", "__value__": 5}}},
        {"__type__": "bytes", "__value__": "x"},
    ]
    return [
        Foul(f"raw-{number}", raw=part if isinstance(part, bytes) else json.dumps(part).encode())
        for number, part in enumerate(parts)
    ]


_VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        5,
        2**31,
        2**63,
        10**30,
        -(10**30),
        0.5,
        1e300,
        float("inf"),
        float("nan"),
    ),
    *("", "x", "\0", "a\nb", "é" * 150, "x" * 300, "gzip", "zlib"),
    *("2026W4872210", "2030-12-30T24:00:00", "2030-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"),
    *([], [1], ["x", "x"], [[1], [2]], [None, None], ["a" * 100] * 20),
    *(
        {},
        {"a": 1},
        {"__type__": "datetime", "__value__": "x"},
        {"__type__": "bytes", "__value__": "x"},
    ),
    *({"provider": [[0, 1]]}, {"provider": 5}),
]
_HEADERS = [
    *(
        "task",
        "id",
        "eta",
        "expires",
        "retries",
        "timelimit",
        "compression",
        "group",
        "group_index",
        "root_id",
        "parent_id",
    ),
    *(
        "lang",
        "shadow",
        "meth",
        "origin",
        "argsrepr",
        "kwargsrepr",
        "stamps",
        "stamped_headers",
        "ignore_result",
    ),
    *(
        "replaced_task_nesting",
        "warren_crashes",
        "warren_tickets",
        "warren_sent_at",
        "warren_refused",
        "reply_to",
    ),
    *(
        "correlation_id",
        "delivery_info",
        "properties",
        "hostname",
        "args",
        "kwargs",
        "get",
        "update",
        "chord",
        "errbacks",
    ),
    *(
        "callbacks",
        "chain",
        "is_eager",
        "headers",
        "x-death",
        "x-delivery-count",
        "clock",
        "taskset",
        "utc",
        "loglevel",
    ),
    *("_children", "called_directly", "custom", ""),
]
_PROPERTIES = [
    *(
        "priority",
        "delivery_mode",
        "correlation_id",
        "reply_to",
        "delivery_tag",
        "body_encoding",
        "delivery_info",
        "other",
    )
]
_BODIES = [
    *(
        b"",
        b"null",
        b"{}",
        b"[]",
        b'"x"',
        b"[[],{}]",
        b"[{},[],{}]",
        b"[[],{},5]",
        b"\xff\xfe",
        b"[" * 5000,
        b"1" * 5000,
    ),
    *(
        b"[[1,2],{},{}",
        b"[[1,2],{},{}]x",
        b'[[1,2],{},{"callbacks":[5]}]',
        b'[[1,2],{},{"chord":[]}]',
    ),
    *(
        b'[[1,2],{},{"errbacks":["x"]}]',
        b'[[1,2],{},{"id":"other"}]',
        b'{"task":"jobs.add","id":"1","args":[1,2]}',
    ),
    *(
        b"[[NaN, Infinity],{},{}]",
        b'[[{"__type__":"decimal","__value__":"x"}],{},{}]',
        b'[[1,2],{"x":1},{}]',
    ),
    b'[["args"],{"kwargs":1},null]',
]
_TYPES = [
    None,
    "application/x-yaml",
    "application/data",
    "text/plain",
    "x",
    "application/x-msgpack",
]
_ENCODINGS = [None, "binary", "zlib", "utf-16", "x", "rot13", "idna", "punycode", "\0"]
_TASK_TABLE = b"\x04taskS\0\0\0\x08jobs.add\x02idS\0\0\0\x01x"


def mutations(seed: int, tag: str) -> Iterator[Foul]:
    """Messages without an end, by the dice of `seed`.

    `tag` makes their ids unlike those of other runs.
    """
    dice = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield _mutated(dice, f"{tag}-{number}")


def _mutated(dice: random.Random, name: str) -> Foul:
    key = GOVERNED if dice.random() < 0.05 else PLAIN
    foul = _task(
        name,
        key,
        lang="py",
        retries=0,
        timelimit=[None, None],
        argsrepr="(1, 2)",
        warren_sent_at=time.time(),
    )
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
        foul.headers[dice.choice(_HEADERS)] = dice.choice(_VALUES)
    if dice.random() < 0.15:
        foul.headers.pop(dice.choice(["task", "id", "lang"]), None)
    if dice.random() < 0.15:
        foul.properties[dice.choice(_PROPERTIES)] = dice.choice(_VALUES)
    if dice.random() < 0.1:
        foul.headers["x"] = deep(dice.choice([10, 150, 199, 250, 500, 900]))
    if dice.random() < 0.05:
        table = deep_table(dice.choice([1, 5, 50]))
        foul.table = _flipped(dice, table + _TASK_TABLE)
    _spoil_body(dice, foul)
    return foul


def _spoil_body(dice: random.Random, foul: Foul) -> None:
    if dice.random() < 0.3:
        foul.body = dice.choice(_BODIES)
    if dice.random() < 0.1:
        foul.body = _flipped(dice, foul.body)
    if dice.random() < 0.1:
        foul.headers["compression"] = dice.choice(
            ["gzip", "bzip2", "lzma", "zlib", "xz", "zstd", "brotli", "x"]
        )
        foul.body = _packed(
            dice.randrange(3), dice.choice([foul.body, b"0" * 50, b"0" * 3_000_000])
        )
    if dice.random() < 0.05:
        foul.content_type = dice.choice(_TYPES)
    if dice.random() < 0.05:
        foul.content_encoding = dice.choice(_ENCODINGS)


@lru_cache(maxsize=64)
def _packed(how: int, content: bytes) -> bytes:
    return (
        gzip.compress(content)
        if how == 0
        else bz2.compress(content)
        if how == 1
        else lzma.compress(content)
    )


def _flipped(dice: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed[: dice.randint(1, len(changed))] if dice.random() < 0.3 else changed)


def payload(foul: Foul, dice: random.Random) -> bytes:
    """Return the message as it stands in Redis' list or in a file.

    kombu writes it so, and at times does not.
    """
    if foul.raw is not None:
        return foul.raw
    properties = {
        "delivery_mode": 2,
        "delivery_info": {"exchange": "warren", "routing_key": foul.key},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": foul.name,
        **foul.properties,
    }
    whole = {
        "body": base64.b64encode(foul.body).decode(),
        "content-type": foul.content_type,
        "content-encoding": foul.content_encoding,
        "headers": foul.headers,
        "properties": properties,
    }
    if dice.random() < 0.03:
        whole.pop(dice.choice(list(whole)))
    text = json.dumps(whole).encode()
    return _flipped(dice, text) if dice.random() < 0.03 else text
