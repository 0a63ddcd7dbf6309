"""The demo's provider: an HTTP API on loopback that needs a key and limits calls, like real APIs.

GET /documents      the catalogue as JSON: number, name, bytes, sha256; needs the key, not limited
GET /documents/N    document number N, from 0; needs the key, limited
GET /record         what the API saw, see `call_record.Summary`; needs no key, not limited

    python -m warren.demo.api --port 0 --limit 60/10s --key-file KEY \\
        --record calls.jsonl --announce api.json
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
from pathlib import Path

import click

from warren.config.units import Rate, Unexpected, rate
from warren.demo.api_server import Api
from warren.demo.document_files import write_whole
from warren.demo.documents import find


def read_or_make_key(path: Path) -> str:
    """Return the key in the file.

    If the file does not exist, make it with a new key; only its owner may read the file.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    return read_or_make_key(path)


def _rate(_context: click.Context, _option: click.Parameter, text: str) -> Rate:
    try:
        return rate(text)
    except Unexpected as error:
        raise click.BadParameter(str(error)) from error


_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port on loopback; 0 takes a free one."
)
@click.option(
    "--limit", default="60/10s", callback=_rate, help="Calls in any window, such as 60/10s."
)
@click.option(
    "--latency", type=click.FloatRange(0, 60), default=0.02, help="Seconds that a document takes."
)
@click.option(
    "--key-file", type=_FILE, required=True, help="File of the key; made where there is none."
)
@click.option("--record", type=_FILE, required=True, help="File that every call is appended to.")
@click.option(
    "--announce", type=_FILE, help="File that is written once the API listens: url, documents."
)
def main(
    port: int, limit: Rate, latency: float, key_file: Path, record: Path, announce: Path | None
) -> None:
    """Serve documents of this machine on loopback until SIGTERM or SIGINT."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    documents = find()
    with Api(port, limit, read_or_make_key(key_file), record, documents, latency) as api:
        if announce:
            write_whole(
                announce, [json.dumps({"url": api.url, "documents": len(documents)}).encode()]
            )
        click.echo(f"{api.url} serves {len(documents)} documents, {limit}")
        api.serve_forever()


if __name__ == "__main__":
    main()
