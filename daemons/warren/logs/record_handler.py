"""The handler of `logging` that turns each record into a line of the log."""

from __future__ import annotations

import logging

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from warren.logs.formatter import Writer, extra, render
from warren.logs.sink import Sink, task_fields


class Handler(logging.Handler):
    """Turns each record of `logging` into a line of the log."""

    def __init__(self, sink: Sink, writer: Writer) -> None:
        super().__init__()
        self.sink = sink
        self.writer = writer
        self.closed = False
        self.setFormatter(
            ProcessorFormatter(
                foreign_pre_chain=[structlog.contextvars.merge_contextvars, _within, extra],
                processors=[
                    structlog.stdlib.PositionalArgumentsFormatter(),
                    structlog.processors.format_exc_info,
                    writer.shape,
                    lambda _logger, _method, line: render(line),
                ],
            )
        )

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        # A bad argument must neither raise an error in the caller nor lose the line.
        except Exception as error:  # noqa: BLE001
            line = self.writer.unformatted(record, error)
        self.sink.put(line)

    def close(self) -> None:
        # Code that closes the handlers of `logging` does not close the log: the log's sink is
        # Warren's.
        self.closed = True
        super().close()


def _within(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Return the fields together with the fields of the running task."""
    return {**fields, **(task_fields.get() or {})}


#: The processors for a record of a structlog logger.
CHAIN: list[Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    _within,
    ProcessorFormatter.wrap_for_formatter,
]
