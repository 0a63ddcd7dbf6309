"""The clients of the HTTP entrance: who sends a request, and whether it may come now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from http import HTTPStatus

from starlette.requests import Request

from warren.config.units import Rate
from warren.web.refusals import Refused

_LONGEST_HEADER = 1024  # bytes


class Clients:
    """The clients by their tokens, and how many requests each may still make."""

    def __init__(
        self, tokens: Mapping[str, str], rate: Rate, now: Callable[[], float] = time.monotonic
    ) -> None:
        # By digest: a look-up compares no token, so its time tells nothing about one.
        self._names = {_digest(token.encode()): name for name, token in tokens.items()}
        self._rate, self._now = rate, now
        self.refused = 0  # requests without a valid token
        #: When each client will have used up nothing any more, by `now`.
        self._free_at: dict[str, float] = {}

    def client(self, request: Request) -> str:
        """Return the name of the client. Raises Refused for a wrong token, or too many requests."""
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        name = None
        if scheme.lower() == "bearer" and len(header) <= _LONGEST_HEADER:
            name = self._names.get(_digest(token.strip().encode("latin-1", "replace")))
        if name is None:
            self.refused += 1
            expected = "expected the header 'Authorization: Bearer TOKEN' with a token of [web] "
            found = "token_file, found " + ("none" if not header else "another")
            raise Refused(HTTPStatus.UNAUTHORIZED, expected + found, WWW_Authenticate="Bearer")
        self._count(name)
        return name

    def _count(self, name: str) -> None:
        """Count a request. Raises Refused above the rate.

        A client may make all requests of a window at once; they come back one by one over the
        window.
        """
        now, rate = self._now(), self._rate
        step = rate.seconds / rate.calls
        free_at = max(self._free_at.get(name, now), now) + step
        if free_at - now > rate.seconds:
            wait = math.ceil(free_at - now - rate.seconds)
            detail = f"expected at most {rate} requests of client {name}, found more"
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, detail, Retry_After=str(max(1, wait)))
        self._free_at[name] = free_at


def _digest(token: bytes) -> bytes:
    return sha256(token).digest()
