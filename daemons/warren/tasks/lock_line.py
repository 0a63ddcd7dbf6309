"""What a store keeps of a lock: one line of text, and behind it the result of work done once.

`L OWNER TOKEN SINCE NOTE` is a lock, `D OWNER TOKEN SINCE NOTE`, a line feed and the result are
work that is done. NOTE is a JSON object about the holder, without a line feed. Pure.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LOCKED, DONE = "L", "D"


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, or has done the work.

    task_id and task: of the task that took the lock; None outside a task. since: when the lock was
    taken, by the clock of the store (UTC). Each is None where the store does not say.
    """

    task_id: str | None = None
    task: str | None = None
    host: str | None = None
    pid: int | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        who = f"task {self.task_id}" if self.task_id else "a program"
        what = f" ({self.task})" if self.task else ""
        process = f", process {self.pid}" if self.pid else ""
        since = f", since {self.since:%Y-%m-%dT%H:%M:%SZ}" if self.since else ""
        return f"{who}{what} on host {self.host or 'unknown'}{process}{since}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON has them."""
        since = self.since.isoformat() if self.since else None
        return {"task_id": self.task_id, "task": self.task, "host": self.host, "since": since}


@dataclass(frozen=True)
class Line:
    """A parsed line. result: the text behind it, only of work that is done."""

    done: bool
    owner: str
    token: int
    holder: Holder
    result: str = ""


def locked(owner: str, token: int, since: float, note: str) -> str:
    """Return the line of a lock. since: seconds since 1970."""
    return f"{LOCKED} {owner} {token} {since:.6f} {note}"


def note_of(task_id: str | None, task: str | None, host: str, pid: int) -> str:
    """Return the note about a holder."""
    return json.dumps({"task_id": task_id, "task": task, "host": host, "pid": pid})


def done(line: str, result: str) -> str:
    """Return what says that the holder of this line has done the work."""
    return f"{DONE}{line[1:]}\n{result}"


def parse(text: str) -> Line | None:
    """Return the line of a store; None for a text that is no such line."""
    head, _, result = text.partition("\n")
    with suppress(ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        kind, owner, token, since, note = head.split(" ", 4)
        if kind in (LOCKED, DONE):
            return Line(kind == DONE, owner, int(token), _holder(float(since), note), result)
    return None


def _holder(since: float, note: str) -> Holder:
    said = json.loads(note)
    texts = [said[name] for name in ("task_id", "task", "host")]
    if any(not isinstance(each, str | None) for each in texts) or type(said["pid"]) is not int:
        raise TypeError("a note has texts and a process number")
    task_id, task, host = texts
    return Holder(task_id, task, host, said["pid"], datetime.fromtimestamp(since, UTC))
