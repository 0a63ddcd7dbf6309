"""The removal of a password from the command line.

Every user of the machine can read the words of a command as long as the command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from warren.redaction.url_passwords import redact_urls

_OPTION = "--broker"


def hide_password(arguments: Sequence[str]) -> None:
    """If a word of the command has a password, start this program again with the URL in a file in
    memory.

    Returns if no word has a password. The password was visible for a moment, and is in the history
    of a shell. So a user at a terminal is told how to keep it private.
    """
    found = without_url(arguments)
    if found is None:
        return
    url, others = found
    if sys.stderr.isatty():
        print(
            "--broker: others could see this password for a moment; give it with --broker-file "
            "FILE",
            file=sys.stderr,
        )
    file = os.memfd_create("broker-url", 0)  # 0: the file stays open in the program that follows
    os.fchmod(file, 0o600)
    os.write(file, f"{url}\n".encode())
    program = [
        sys.executable,
        "-P",
        "-m",
        "warren.demo.quickstart",
        f"--broker-file=/proc/self/fd/{file}",
        *others,
    ]
    os.execv(sys.executable, program)  # noqa: S606  the same program with the other words


def without_url(arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the URL that follows --broker, and the words without the option and the URL. Pure.

    Returns None unless there is such a URL with a password.
    """
    if any(word.startswith("--broker-file") for word in arguments):
        return None  # the command refuses both options together
    for number, word in enumerate(arguments):
        option, joined, value = word.partition("=")
        if option != _OPTION:
            continue
        url = value if joined else "".join(arguments[number + 1 : number + 2])
        if redact_urls(url) != url:
            return url, [*arguments[:number], *arguments[number + (1 if joined else 2) :]]
    return None
