"""Which lines somebody asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from warren.logs.formatter import LEVELS
from warren.logs.reading.line import fields_of, later, time_of
from warren.logs.reading.seek import SET_BACK

#: So many characters of a task's id are enough: the terminal shows no more of it.
SHORT_ID = 8

#: Fields by which a line belongs to a task: its own, that of a task which it has sent, or of one far below it.
_IDS = ("task_id", "parent_id", "root_id")


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

    @cached_property
    def begin(self) -> bytes:
        """Where a file has a line older than this, all before it are too old."""
        return later(self.since, -SET_BACK) if self.since else b""

    @cached_property
    def end(self) -> bytes:
        """Where a file has a line of this time or later, all behind it are too late."""
        return later(self.until, SET_BACK) if self.until else b""

    def may_be_in(self, block: bytes) -> bool:
        """Whether a line of a block can be wanted; `block` are whole lines of a file, judged by the first and the last."""
        if block.isspace():  # blank lines, of which a compressed file may hold millions
            return False
        try:
            if self.end and time_of(block[: block.index(b"\n") + 1]) >= self.end:
                return False
            if self.begin and time_of(block[block.rfind(b"\n", 0, -1) + 1 :]) < self.begin:
                return False
        except ValueError:
            pass  # no line of a log: the others may be
        return self._may_want(block)

    def _may_want(self, text: bytes) -> bool:
        """Most lines lack the bytes that they would need, and parsing is what costs."""
        return all(any(mark in text for mark in marks) for marks in self._marks)

    def wants(self, time: bytes, raw: bytes) -> bool:
        """Whether the line of that time is asked for. Raises ValueError for what is no line of a log."""
        if time < self.since or (self.until and time > self.until):
            return False
        return not self._marks or (self._may_want(raw) and self._fits(fields_of(raw)))

    @cached_property
    def _levels(self) -> tuple[str, ...]:
        return LEVELS[LEVELS.index(self.level) :] if self.level else ()

    @cached_property
    def _marks(self) -> list[tuple[bytes, ...]]:
        wanted = ((self.task,) if self.task else (), (self.daemon,) if self.daemon else (), self._levels)
        return [tuple(json.dumps(word, ensure_ascii=False).encode()[:-1] for word in words) for words in wanted if words]

    def _fits(self, fields: dict[str, Any]) -> bool:
        return (
            (not self.task or any(str(fields.get(name, "")).startswith(self.task) for name in _IDS))
            and (not self.daemon or self.daemon in (fields.get("daemon"), fields.get("program")))
            and (not self.level or fields.get("level") in self._levels)
        )
