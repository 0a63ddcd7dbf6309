"""What a command that waits says meanwhile: a line that changes on a terminal, else a line on stderr every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from warren.printable import one_line

#: Seconds of silence that nobody takes for a command that hangs: where there is no terminal, a line comes at this pace.
PAUSE = 8.0


class Progress:
    """The last word of what a command waits for."""

    def __init__(self, line: Status | None, verb: str) -> None:
        self._line = line
        self._verb = verb
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Shows what is waited for; may be called as often as one likes."""
        text = one_line(text)
        if self._line is not None:
            self._line.update(Text(f"{self._verb} ... {text}"))  # text of daemons, and no markup
        elif time.monotonic() - self._said >= PAUSE:
            self._said = time.monotonic()
            click.echo(f"{self._verb}: {text}", err=True)


@contextmanager
def progress(verb: str) -> Iterator[Progress]:
    """Within it the command waits. Quick commands say nothing where there is no terminal."""
    if not sys.stderr.isatty():
        yield Progress(None, verb)
        return
    with Console(stderr=True).status(f"{verb} ...") as line:
        yield Progress(line, verb)
