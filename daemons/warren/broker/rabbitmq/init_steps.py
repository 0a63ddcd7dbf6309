"""The steps of `warren broker init`: what was done, planned or undone, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from warren.errors import WarrenError


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    UNDONE = "undone"
    LEFT = "left"  # it should have been undone, and could not be


class Step(NamedTuple):
    """A step: its name for programs, what became of it, and a text for people."""

    name: str
    outcome: Outcome
    text: str


class Steps:
    """Take steps one after the other, and undo at a failure what was new."""

    def __init__(self, say: Callable[[Step], None], dry_run: bool = False) -> None:
        self._say = say
        self.dry_run = dry_run
        self.changed = False
        self._undo: list[tuple[str, str, Callable[[], None]]] = []

    def unchanged(self, name: str, text: str) -> None:
        """Report a step that finds what it wants."""
        self._say(Step(name, Outcome.UNCHANGED, text))

    def take(
        self,
        name: str,
        text: str,
        act: Callable[[], object],
        undo: tuple[str, Callable[[], None]] | None = None,
    ) -> None:
        """Take a step, or report it as planned.

        `undo` is for a failure of this step, half of which may be done, or of a later step.
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
        """Forget how a step is undone, because it must stay."""
        self._undo = [each for each in self._undo if each[0] != name]

    def undo(self) -> None:
        """Undo what was new, the last step first; say what cannot be undone."""
        while self._undo:
            name, text, undo = self._undo.pop()
            try:
                undo()
            except (WarrenError, OSError) as error:
                self._say(Step(name, Outcome.LEFT, f"{text}: not possible: {error}"))
            else:
                self._say(Step(name, Outcome.UNDONE, text))
