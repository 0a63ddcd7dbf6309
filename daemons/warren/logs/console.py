"""The messages of a process without a log: warnings and errors for a command's user, on stderr."""

from __future__ import annotations

import logging
import traceback

from warren.logs.formatter import safe_text, told
from warren.logs.writer import complain
from warren.redaction.masker import redact


class Console(logging.Handler):
    """Shows warnings and errors to a command's user, on stderr, as text without fields.

    A process has no log until `configure` was called. Records of other loggers go to the handler
    `others`.
    """

    def __init__(self, others: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self._others = others

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "warren" and isinstance(record.msg, dict):
            complain(redact(" ".join(told(record.msg).split())))
        else:
            self._others.handle(_redacted(record))


def _redacted(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record without secrets.

    When the arguments do not fit the message, the text is the path, the message, the arguments and
    the error. `logging` itself would print the call stack with source lines, and such a line may
    hold a password.
    """
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - message and arguments may be any objects
        path = f"{record.pathname}:{record.lineno}"
        text = f"{path}: {safe_text(record.msg)} with {safe_text(record.args)}: {safe_text(error)}"
    record.msg, record.args = redact(text), ()
    if record.exc_info:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record
