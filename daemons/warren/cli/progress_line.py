"""The progress of a command that waits.

On a terminal the progress is one line that changes, else a line on stderr every few seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from warren.system.printable import one_line

#: Seconds between two lines without a terminal. After a longer silence an operator could think that
#: the command hangs.
PAUSE = 8.0


class Progress:
    """The latest message about what a command waits for."""

    def __init__(self, line: Status | None, verb: str) -> None:
        self._line = line
        self._verb = verb
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Show what the command waits for. The caller may call this at any rate."""
        text = one_line(text)
        if self._line is not None:
            self._line.update(Text(f"{self._verb} ... {text}"))  # a daemon's text is not markup
        elif time.monotonic() - self._said >= PAUSE:
            self._said = time.monotonic()
            click.echo(f"{self._verb}: {text}", err=True)


@contextmanager
def progress(verb: str) -> Iterator[Progress]:
    """Return a context in which the command waits, with its progress.

    Without a terminal, a command that ends soon prints nothing.
    """
    if not sys.stderr.isatty():
        yield Progress(None, verb)
        return
    with Console(stderr=True).status(f"{verb} ...") as line:
        yield Progress(line, verb)
