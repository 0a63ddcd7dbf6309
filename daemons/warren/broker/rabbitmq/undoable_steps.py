"""Steps that can be undone: what was done, planned or undone, and how a step is undone.

`warren broker init` takes its steps so.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from warren.errors import WarrenError


class Outcome(StrEnum):
    """The outcome of a step."""

    DONE = "done"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    UNDONE = "undone"
    LEFT = "left"  # the step should have been undone, but this failed


class Step(NamedTuple):
    """A step: its name for programs, its outcome, and a text for people."""

    name: str
    outcome: Outcome
    text: str


class Steps:
    """Takes steps one after the other. After a failure, undoes the steps that changed something."""

    def __init__(self, say: Callable[[Step], None], dry_run: bool = False) -> None:
        self._say = say
        self.dry_run = dry_run
        self.changed = False
        self._undo: list[tuple[str, str, Callable[[], None]]] = []

    def unchanged(self, name: str, text: str) -> None:
        """Report a step that has nothing to change."""
        self._say(Step(name, Outcome.UNCHANGED, text))

    def take(
        self,
        name: str,
        text: str,
        act: Callable[[], object],
        undo: tuple[str, Callable[[], None]] | None = None,
    ) -> None:
        """Take a step, or report it as planned.

        undo: a name and a function that undoes this step, which may be only half done. It is called
        when this step or a later step fails.
        """
        if self.dry_run:
            self._say(Step(name, Outcome.PLANNED, text))
            return
        if undo:
            self._undo.append((name, f"{text}: {undo[0]}", undo[1]))
        act()
        self.changed = True
        self._say(Step(name, Outcome.DONE, text))

    def keep(self, name: str) -> None:
        """Forget how a step is undone, because its change must stay."""
        self._undo = [each for each in self._undo if each[0] != name]

    def undo(self) -> None:
        """Undo the steps that changed something, the last step first; report each that cannot be
        undone.
        """
        while self._undo:
            name, text, undo = self._undo.pop()
            try:
                undo()
            except (WarrenError, OSError) as error:
                self._say(Step(name, Outcome.LEFT, f"{text}: not possible: {error}"))
            else:
                self._say(Step(name, Outcome.UNDONE, text))
