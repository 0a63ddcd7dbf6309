"""A word to the person who has started the suite in the foreground of a terminal."""

from __future__ import annotations

import os
import select
from contextlib import suppress

from warren.printable import one_line


def say(line: str) -> None:
    """Prints a line on stderr where that is the terminal of such a person; a pipe, a file and the journal get nothing.

    Neither blocks nor raises: a terminal that Ctrl-S holds goes without the line, for the loop must turn.
    """
    with suppress(OSError):  # no terminal, or not this session's
        if os.tcgetpgrp(2) == os.getpgrp() and select.select([], [2], [], 0)[1]:
            os.write(2, f"{one_line(line)}\n".encode())
