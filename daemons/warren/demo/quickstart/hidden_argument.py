"""The words of a command can be read by every user of the machine for as long as it runs: no password stays among them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from warren.redaction.url_passwords import redact_urls

_OPTION = "--broker"


def hide_password(words: Sequence[str]) -> None:
    """Starts this program anew with the URL in a file in memory, where a word of it has a password; returns where none has.

    For a moment it was there, as it is in the history of a shell: a person at a terminal is told how to keep it to himself.
    """
    found = without_url(words)
    if found is None:
        return
    url, others = found
    if sys.stderr.isatty():
        print("--broker: others could see this password for a moment; give it with --broker-file FILE", file=sys.stderr)
    file = os.memfd_create("broker-url", 0)  # 0: it stays open in the program that follows
    os.fchmod(file, 0o600)
    os.write(file, f"{url}\n".encode())
    program = [sys.executable, "-P", "-m", "warren.demo.quickstart", f"--broker-file=/proc/self/fd/{file}", *others]
    os.execv(sys.executable, program)  # noqa: S606  the same program with its own words


def without_url(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """The URL with a password that follows --broker, and the words without both; None where there is no such. Pure."""
    if any(word.startswith("--broker-file") for word in words):
        return None  # both are refused
    for number, word in enumerate(words):
        option, joined, value = word.partition("=")
        if option != _OPTION:
            continue
        url = value if joined else "".join(words[number + 1 : number + 2])
        if redact_urls(url) != url:
            return url, [*words[:number], *words[number + (1 if joined else 2) :]]
    return None
