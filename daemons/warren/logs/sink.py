"""The sink: all lines of one process go straight into its log file, whatever happens to `logging`.

A task, or a module at its import, may close every handler of `logging` (`dictConfig` and Django's
`setup()` do so), replace the handlers, or switch `logging` off. A sink is not affected: Warren's
own events do not pass through `logging`.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextvars import ContextVar
from time import time
from typing import Any

from warren.logs.events import Event
from warren.logs.formatter import Writer, render
from warren.logs.journal_line import journal_line
from warren.logs.writer import LineFile, complain

#: The fields of the task that this thread runs. They are kept apart from structlog's own context,
#: because an author may clear that context.
task_fields: ContextVar[dict[str, object] | None] = ContextVar("warren_task_fields", default=None)


class Sink:
    """The log of one process.

    level: the lowest level that is written, as a number of `logging`.
    """

    def __init__(self, file: LineFile, writer: Writer, level: int, also_journal: bool) -> None:
        self._file = file
        self._writer = writer
        self.level = level
        self._also_journal = also_journal
        self._lock = threading.RLock()  # a signal handler may log while its own thread is writing
        # A forked child must not wait for a lock that is held by a thread of the parent.
        os.register_at_fork(after_in_child=self._renew_lock)

    def event(self, level: int, event: Event, fields: dict[str, Any]) -> None:
        """Write one of Warren's own events. Raises nothing for a value that cannot be shown."""
        if level < self.level:
            return
        if "exc_info" in fields:
            trace = _traceback(fields.pop("exc_info"))
            fields = {**fields, "exception": trace} if trace else fields
        within = task_fields.get()
        self.put(
            render(
                self._writer.own(time(), level, event, {**within, **fields} if within else fields)
            )
        )

    def put(self, line: str) -> None:
        """Append one complete line."""
        with self._lock:
            self._file.write(f"{line}\n".encode())
        if self._also_journal:
            complain(journal_line(line))

    @property
    def losing(self) -> bool:
        """Return whether the last line could not be written."""
        return self._file.lost > 0

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        with self._lock:
            self._file.close()

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()


def _traceback(given: Any) -> str:
    """Return the text of an exception.

    given: an exception, a triple of `sys.exc_info()`, or True for the exception that is handled
    now.
    """
    if isinstance(given, BaseException):
        given = (type(given), given, given.__traceback__)
    elif not isinstance(given, tuple):
        given = sys.exc_info()
    return "".join(traceback.format_exception(*given)).rstrip() if given[0] else ""
