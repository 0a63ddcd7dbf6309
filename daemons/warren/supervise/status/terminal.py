"""A message to the person who has started the suite in a terminal."""

from __future__ import annotations

import os
import select
from contextlib import suppress

from warren.system.printable import one_line


def say(line: str) -> None:
    """Print a line on stderr if stderr is the terminal of such a person.

    A pipe, a file and the journal get nothing. Neither blocks nor raises: a terminal that Ctrl-S
    stops does not get the line, because the loop must continue.
    """
    with suppress(OSError):  # no terminal, or a terminal of another session
        if os.tcgetpgrp(2) == os.getpgrp() and select.select([], [2], [], 0)[1]:
            os.write(2, f"{one_line(line)}\n".encode())
