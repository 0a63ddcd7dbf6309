"""The HTTP server of the demo's provider: key, limit, record and documents on three paths."""

from __future__ import annotations

import hmac
import json
import os
import threading
import time
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from warren.config.units import Rate
from warren.demo.call_record import Call, line, read, summarise
from warren.demo.documents import Document
from warren.demo.limiter import SlidingWindow, Verdict

_DOCUMENTS = "/documents/"


@dataclass(frozen=True)
class Reply:
    """The reply to the caller."""

    status: HTTPStatus
    body: bytes
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Api(ThreadingHTTPServer):
    """The server, which serves documents to callers with the key, within `limit`.

    Each document takes `latency` seconds.
    """

    daemon_threads = True
    # A burst of connections must meet the limit, and not the kernel's backlog.
    request_queue_size = 1024

    def __init__(
        self,
        port: int,
        limit: Rate,
        key: str,
        record: Path,
        documents: list[Document],
        latency: float,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._limit = limit.calls
        self._window_ns = round(limit.seconds * 1e9)
        self._window = SlidingWindow(self._limit, self._window_ns)
        self._expected = f"Bearer {key}".encode()
        self._record = record
        self._documents = documents
        self._latency = latency
        self._lock = threading.Lock()
        self._recorder = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    @property
    def url(self) -> str:
        """The URL on which the API listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, path: str, authorization: str) -> Reply:
        """Return the reply to a GET of `path`; record the call if it counts."""
        if path == "/record":
            return _json(self._summary())
        known = hmac.compare_digest(authorization.encode(), self._expected)
        if path == "/documents" and known:
            return _json([_entry(number, found) for number, found in enumerate(self._documents)])
        if not path.startswith(_DOCUMENTS):
            return _problem(HTTPStatus.NOT_FOUND if known else HTTPStatus.UNAUTHORIZED)
        with self._lock:  # the stamp is taken inside, so that stamps and decisions have one order
            now_ns = time.monotonic_ns()
            verdict = self._window.admit(now_ns) if known else None
            reply = self._decide(path, verdict)
            os.write(self._recorder, line(Call(now_ns, path, reply.status)))
        if reply.status == HTTPStatus.OK:
            time.sleep(self._latency)
        return reply

    def _decide(self, path: str, verdict: Verdict | None) -> Reply:
        if verdict is None:
            return _problem(HTTPStatus.UNAUTHORIZED)
        headers = _limit_headers(self._limit, verdict)
        if not verdict.admitted:
            return _problem(HTTPStatus.TOO_MANY_REQUESTS, headers)
        number = path.removeprefix(_DOCUMENTS)
        if not (number.isascii() and number.isdigit() and int(number) < len(self._documents)):
            return _problem(HTTPStatus.NOT_FOUND, headers)
        return Reply(
            HTTPStatus.OK, self._documents[int(number)].body, "text/plain; charset=utf-8", headers
        )

    def _summary(self) -> dict[str, object]:
        with self._lock, self._record.open("rb") as lines:
            calls = read(lines)
        return asdict(summarise(calls, self._limit, self._window_ns))


class _Handler(BaseHTTPRequestHandler):
    """The handler that sends `Api.answer` over HTTP/1.1, with connections that stay open."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes, and Nagle's algorithm would delay the second write by 40 ms.
    disable_nagle_algorithm = True
    timeout = 600  # seconds; longer than a window, so that no burst finds its connections closed
    server: Api

    def do_GET(self) -> None:
        reply = self.server.answer(self.path, self.headers.get("Authorization", ""))
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Log nothing, because the record has every call."""


def _entry(number: int, document: Document) -> dict[str, object]:
    return {
        "number": number,
        "name": document.name,
        "bytes": len(document.body),
        "sha256": document.sha256,
    }


def _limit_headers(limit: int, verdict: Verdict) -> dict[str, str]:
    # Rounded up, so that a caller who waits this long is not refused again.
    seconds = str(-(-verdict.wait_ns // 10**9))
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": seconds,
    }
    return headers if verdict.admitted else headers | {"Retry-After": seconds}


def _json(value: object) -> Reply:
    return Reply(HTTPStatus.OK, json.dumps(value).encode())


def _problem(status: HTTPStatus, headers: dict[str, str] | None = None) -> Reply:
    return Reply(
        status,
        json.dumps({"status": status, "error": status.phrase}).encode(),
        headers=headers or {},
    )
