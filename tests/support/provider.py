"""A provider behind a unix socket, in a process of its own.

It notes when it was called, and what the caller says of its request.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.edited_limits import Seen
from support.forks import child
from support.wait import until
from warren.quotas.ledger import now_ns
from warren.system.process import die_with_parent

#: Seconds at most until it answers.
LATENCY = 0.03


@contextmanager
def provider(path: Path, record: Path) -> Iterator[None]:
    """One that listens at `path` while the block runs."""
    pid = child(lambda: _serve(path, record))
    try:
        until(path.exists, what="the provider's socket")
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def seen(record: Path) -> list[Seen]:
    """Its calls."""
    lines = record.read_text(encoding="ascii").splitlines()
    return [
        Seen(int(stamped) / 1e9, int(asked) / 1e9)
        for stamped, asked in (line.split() for line in lines)
    ]


def _serve(path: Path, record: Path) -> None:
    """Stamp each call at its receipt, on disk, before anything else.

    Answer after a moment.
    """
    die_with_parent(signal.SIGKILL)
    out = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readline()
        if asked.endswith(b"\n"):
            os.write(out, b"%d %s" % (now_ns(), asked))
            await asyncio.sleep(dice.uniform(0.0, LATENCY))
            writer.write(b"k")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_unix_server(answer, path, backlog=1000)
        await server.serve_forever()

    asyncio.run(serve())
