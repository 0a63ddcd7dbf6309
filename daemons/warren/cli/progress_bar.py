"""The progress of counted steps: a bar on a terminal, else a line on stderr every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from warren.cli.progress_line import PAUSE
from warren.system.printable import one_line


class Bar:
    """One bar, and the text beside it."""

    def __init__(self, bars: Progress | None, verb: str, quiet: bool) -> None:
        self._bars = bars
        self._verb = verb
        self._quiet = quiet
        self._said = -PAUSE  # prints the first line at once
        self._task = bars.add_task("", total=None, note="") if bars is not None else None

    def say(self, text: str) -> None:
        """Show a text while there are no steps to count."""
        self._update(0, None, text, text)

    def at(self, done: int, total: int | None, note: str) -> None:
        """Show that `done` of `total` steps are done.

        total: None when the number of steps is not known.
        """
        steps = f"{done}/{'?' if total is None else total}"
        self._update(done, total, note, f"{steps} {note}".rstrip())

    def _update(self, done: int, total: int | None, note: str, line: str) -> None:
        if self._bars is not None and self._task is not None:
            # rich prints a note as it is: a task's text is not markup
            self._bars.update(self._task, completed=done, total=total, note=Text(one_line(note)))
        elif not self._quiet and time.monotonic() - self._said >= PAUSE:
            self._said = time.monotonic()
            click.echo(f"{self._verb}: {one_line(line)}", err=True)


class _Note(TextColumn):
    """The column of the note. The note is plain text, not markup."""

    def render(self, task: object) -> Text:
        """Return the note of a bar."""
        return getattr(task, "fields")["note"] or Text("")  # noqa: B009


@contextmanager
def bar(verb: str, quiet: bool) -> Iterator[Bar]:
    """Return a context in which the command shows its steps.

    quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield Bar(None, verb, quiet)
        return
    columns = (
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        _Note(""),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Bar(bars, verb, quiet)
