"""Which lines somebody asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from warren.log_line import LEVELS
from warren.reading.line import fields_of

#: So many characters of a task's id are enough: the terminal shows no more of it.
SHORT_ID = 8


@dataclass(frozen=True)
class Selection:
    """What a line must have; an empty field asks for nothing.

    `task` is the id of a task or its beginning: the lines of the task and of all that it started. `daemon` is the name
    of a daemon or of a program. `level` is the least. `since` and `until` are as `line.moment` has them, both included.
    """

    task: str = ""
    daemon: str = ""
    level: str = ""
    since: bytes = b""
    until: bytes = b""

    def wants(self, time: bytes, raw: bytes) -> bool:
        """Whether the line of that time is asked for. Raises ValueError for what is no line of a log."""
        if time < self.since or (self.until and time > self.until):
            return False
        if not self._marks:
            return True
        # Most lines lack the bytes that they would need, and parsing is what costs.
        return all(any(mark in raw for mark in marks) for marks in self._marks) and self._fits(fields_of(raw))

    @cached_property
    def _levels(self) -> tuple[str, ...]:
        return LEVELS[LEVELS.index(self.level) :] if self.level else ()

    @cached_property
    def _marks(self) -> list[tuple[bytes, ...]]:
        wanted = ((self.task,) if self.task else (), (self.daemon,) if self.daemon else (), self._levels)
        return [tuple(json.dumps(word, ensure_ascii=False).encode()[:-1] for word in words) for words in wanted if words]

    def _fits(self, fields: dict[str, Any]) -> bool:
        return (
            (not self.task or any(str(fields.get(name, "")).startswith(self.task) for name in ("task_id", "root_id")))
            and (not self.daemon or self.daemon in (fields.get("daemon"), fields.get("program")))
            and (not self.level or fields.get("level") in self._levels)
        )
