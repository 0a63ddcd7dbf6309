"""The conditions by which a reader selects log lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from warren.logs.formatter import LEVELS
from warren.logs.reading.line import fields_of, later, time_of
from warren.logs.reading.seek import SET_BACK

#: The characters of a task's id that are shown. So many characters are also enough to ask for it.
SHORT_ID = 8

#: The fields by which a line belongs to a task: the id of its own task, of that task's parent, and
#: of the first task above.
_IDS = ("task_id", "parent_id", "root_id")


@dataclass(frozen=True)
class Selection:
    """The conditions for a line. An empty field is no condition.

    task: the id of a task or its beginning, for the lines of the task and of all tasks that it
    started. daemon: the name of a daemon or of a program. level: the lowest level. since, until: in
    the form of `line.moment`, both included.
    """

    task: str = ""
    daemon: str = ""
    level: str = ""
    since: bytes = b""
    until: bytes = b""

    @cached_property
    def begin(self) -> bytes:
        """Return the time at which a reader may stop going back: all lines before such a line are
        too old.
        """
        return later(self.since, -SET_BACK) if self.since else b""

    @cached_property
    def end(self) -> bytes:
        """Return the time at which a reader may stop: all lines after such a line are too late."""
        return later(self.until, SET_BACK) if self.until else b""

    def may_be_in(self, block: bytes) -> bool:
        """Return whether a block may hold a wanted line.

        block: whole lines of a file. Its first and its last line say which times it has.
        """
        if block.isspace():  # a compressed file may hold millions of blank lines
            return False
        try:
            if self.end and time_of(block[: block.index(b"\n") + 1]) >= self.end:
                return False
            if self.begin and time_of(block[block.rfind(b"\n", 0, -1) + 1 :]) < self.begin:
                return False
        except ValueError:
            pass  # this is not a log line, but the other lines of the block may be log lines
        return self._may_want(block)

    def _may_want(self, text: bytes) -> bool:
        """Return whether the text has the bytes that every wanted line has.

        Most lines lack these bytes, and this check is much cheaper than parsing a line.
        """
        return all(any(mark in text for mark in marks) for marks in self._marks)

    def wants(self, time: bytes, raw: bytes) -> bool:
        """Return whether a line of this time is wanted. Raises ValueError if this is not a log
        line.
        """
        if time < self.since or (self.until and time > self.until):
            return False
        return not self._marks or (self._may_want(raw) and self._fits(fields_of(raw)))

    @cached_property
    def _levels(self) -> tuple[str, ...]:
        return LEVELS[LEVELS.index(self.level) :] if self.level else ()

    @cached_property
    def _marks(self) -> list[tuple[bytes, ...]]:
        wanted = (
            (self.task,) if self.task else (),
            (self.daemon,) if self.daemon else (),
            self._levels,
        )
        return [tuple(_mark(text) for text in texts) for texts in wanted if texts]

    def _fits(self, fields: dict[str, Any]) -> bool:
        return (
            (not self.task or any(str(fields.get(name, "")).startswith(self.task) for name in _IDS))
            and (not self.daemon or self.daemon in (fields.get("daemon"), fields.get("program")))
            and (not self.level or fields.get("level") in self._levels)
        )


def _mark(text: str) -> bytes:
    """Return the bytes by which a text begins in a line.

    A text from the command line may hold bytes that are not UTF-8; no line has such bytes.
    """
    return json.dumps(text, ensure_ascii=False).encode(errors="surrogateescape")[:-1]
