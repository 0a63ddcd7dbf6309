"""The output of a run.

On a terminal the output is progress bars, in a pipe a line every few seconds, and with --json only
the figures.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from warren.demo.quickstart.figures import Figures, allowed

_PAUSE = 5.0  # seconds between two lines about the same work


class Show:
    """Shows how far each piece of work is.

    quiet: show nothing.
    """

    def __init__(self, quiet: bool) -> None:
        self.console = Console(quiet=quiet)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}
        if self.console.is_terminal and not quiet:
            columns = (
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bars = Progress(
                *columns, TextColumn("{task.fields[note]}", style="dim"), console=self.console
            )

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print lines for people."""
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)

    def at(self, name: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps of the work `name` are done.

        May be called at any rate.
        """
        if self._bars:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, note=note)
            self._bars.update(self._tasks[name], completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if self._told.get(name) != float("inf") and (
            done >= total or now >= self._told.get(name, 0.0) + _PAUSE
        ):
            self._told[name] = float("inf") if done >= total else now
            self.say(f"{name:<10} {done}/{total} {note}".rstrip())

    def figures(self, figures: Figures, report: str) -> None:
        """Print the table of the figures, and the path of the report."""
        most = allowed(figures.limit, figures.window, figures.duration)
        used = f"{figures.use:.1%} of the {most:.0f} calls that the limit allows in that time"
        self.say("")
        for name, value in (
            ("documents", f"{figures.documents - figures.lost} of {figures.documents} collected"),
            ("calls", f"{figures.calls} in {figures.duration:.1f} s"),
            ("refused", f"{figures.refused} by the API"),
            (
                "worst window",
                f"{figures.worst_window} calls in {figures.window:g} s, limit {figures.limit}",
            ),
            ("use", used if figures.telling else "too short to tell"),
            ("batch", f"2+2, 4+4, 8+8, 16+16 gave {figures.batch}"),
            ("ticks", f"{figures.ticks} of the schedule entry"),
            ("report", report),
        ):
            # Not a table of rich, which would cut a path to the width of the terminal.
            self.say(f"{name:<12}  {value}")
        self.say("")


def insist(text: str) -> None:
    """Print on stderr what a user must know even with --json, whose output goes to stdout."""
    print(text, file=sys.stderr)
