"""The tokens of the clients of `warren web`: lines NAME TOKEN of a file of secrets.

Pure. No message quotes a line, because it holds a secret.
"""

from __future__ import annotations

import re

from warren.config.units import Unexpected
from warren.config.values import name as checked_name

_LINE = "lines NAME TOKEN"
#: What an HTTP header may carry as a token, at a length that cannot be guessed.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}", re.ASCII)
_EXPECTED_TOKEN = "a token of 32 to 512 letters, digits and '._~+/=-'"  # noqa: S105  no secret


def tokens(text: str) -> dict[str, str]:
    """Return the token of each client; empty lines and those that begin with # count for none.

    Raises Unexpected, also when there is no token.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise Unexpected(_LINE, f"{len(words)} words in line {number}")
        client, token = words
        try:
            checked_name(client)
        except Unexpected as error:
            raise Unexpected(error.expected, f"another name in line {number}") from None
        if not _TOKEN.fullmatch(token):
            raise Unexpected(_EXPECTED_TOKEN, f"another token in line {number}")
        if client in found:
            raise Unexpected("each name once", f"the name of line {number} again")
        if token in found.values():
            raise Unexpected("a token of its own for each name", f"that of line {number} again")
        found[client] = token
    if not found:
        raise Unexpected(_LINE, "none")
    return found
