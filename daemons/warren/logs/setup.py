"""Every record of a daemon, its libraries' included, as one JSON object a line with the same fields everywhere."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from functools import partial
from getpass import getuser
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from warren.errors import CannotWrite
from warren.logs.events import Event
from warren.logs.formatter import Writer, extra, level_name, render, safe_text, told
from warren.logs.sink import Sink, task_fields
from warren.logs.writer import LineFile, complain
from warren.redaction.masker import redact
from warren.system import regular_file
from warren.system.obstacles import SetAside
from warren.system.private_directory import make_logs


class Logger(Protocol):
    """What `get` returns: a logger whose events are those of events.py and no others."""

    def debug(self, event: Event, **fields: object) -> None: ...
    def info(self, event: Event, **fields: object) -> None: ...
    def warning(self, event: Event, **fields: object) -> None: ...
    def error(self, event: Event, **fields: object) -> None: ...
    def critical(self, event: Event, **fields: object) -> None: ...

    def exception(self, event: Event, **fields: object) -> None:
        """Level error, with the traceback of the exception being handled in `exception`."""

    def bind(self, **fields: object) -> Logger:
        """A logger that adds `fields` to each of its lines."""


class _Own:
    """Writes into the log of this process, past `logging`; before `configure` it tells a command's user on stderr."""

    def __init__(self, **bound: object) -> None:
        self._bound = bound

    def debug(self, event: Event, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: Event, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: Event, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: Event, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    def critical(self, event: Event, **fields: object) -> None:
        self._write(logging.CRITICAL, event, fields)

    def exception(self, event: Event, **fields: object) -> None:
        self._write(logging.ERROR, event, {"exc_info": True, **fields})

    def bind(self, **fields: object) -> Logger:
        return _Own(**{**self._bound, **fields})

    def _write(self, level: int, event: Event, fields: dict[str, object]) -> None:
        fields = {**self._bound, **fields} if self._bound else fields
        if _process.sink is not None:
            _process.sink.event(level, event, fields)
        else:
            # A command has no log. The standard library hands its user what is at least a warning, by _ForPeople.
            logger = structlog.wrap_logger(logging.getLogger("warren"), _CHAIN, structlog.stdlib.BoundLogger)
            getattr(logger, level_name(level))(event, **fields)


class _Process:
    """The log of this process: none before `configure`."""

    sink: Sink | None = None
    handler: _Handler | None = None


_process = _Process()
_own = _Own()


def get() -> Logger:
    """The logger of Warren's own events; may be called before `configure`."""
    return _own


def is_configured() -> bool:
    """Return whether this process has a log."""
    return _process.sink is not None


def losing() -> bool:
    """Return whether the last line of this process could not be written: its disk is full, or its limits are too low."""
    return _process.sink is not None and _process.sink.losing


def configure(daemon: str, program: str, host: str, folder: Path, level: str = "info", also_journal: bool = False) -> None:
    """From here on every record of this process is a line in `folder`/`daemon`.log; a second call replaces the first.

    `level` is debug, info, warning, error or critical. `also_journal` repeats each line in words on stderr, which ends up in
    the journal.
    Raises CannotWrite when the file cannot be opened; later failures never reach the caller of a logger.
    """
    writer = Writer(daemon, program, host)
    path = folder / f"{daemon}.log"
    try:
        make_logs(folder)
        file = LineFile(path, partial(writer.lines_lost, path), writer.set_aside)
    except OSError as error:
        raise CannotWrite(
            f"cannot open the log file {path}: {error.strerror}; let user {getuser()} write there, or set log_dir in [app]"
        ) from error
    _install(Sink(file, writer, _number(level), also_journal), writer)


def set_level(level: str) -> None:
    """Takes effect at once, for Warren's own lines and for its libraries'."""
    if _process.sink is not None:
        _process.sink.level = _number(level)
    logging.getLogger().setLevel(level.upper())


def keep() -> None:
    """Put back what a module at its import, or a task, has taken from `logging`: lines of libraries and authors go on.

    Warren's own events need none of it. What others have added (their handlers, their filters) stays.
    """
    handler, root = _process.handler, logging.getLogger()
    if handler is None or _process.sink is None:
        return
    if root.manager.disable:
        logging.disable(logging.NOTSET)
    if root.level != _process.sink.level:
        root.setLevel(_process.sink.level)
    if handler.closed or handler not in root.handlers:
        # `dictConfig` has been here. It closes every handler, and switches the loggers off that it does not name.
        handler.closed = root.disabled = False
        if handler not in root.handlers:
            root.addHandler(handler)
        for logger in root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False


def end() -> None:
    """Close the log of this process; `get` speaks to people again."""
    sink, handler = _process.sink, _process.handler
    _process.sink = _process.handler = None
    if handler is not None:
        logging.getLogger().removeHandler(handler)
    if sink is not None:
        sink.close()


def bind(**fields: object) -> None:
    """Adds `fields` to every line of the calling thread from here on, whoever writes it."""
    task_fields.set({**(task_fields.get() or {}), **fields})


def unbind(*names: str) -> None:
    """Takes fields of `bind` away again; a name that is not bound is no error."""
    task_fields.set({name: value for name, value in (task_fields.get() or {}).items() if name not in names})


class _Handler(logging.Handler):
    """Makes a record of `logging` a line."""

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
        except Exception as error:  # noqa: BLE001 - a bad argument must cost neither the caller nor the line
            line = self.writer.unformatted(record, error)
        self.sink.put(line)

    def close(self) -> None:
        # Whoever closes the handlers of `logging` does not close the log: the sink is Warren's.
        self.closed = True
        super().close()


def _within(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Add the fields of the running task."""
    return {**fields, **(task_fields.get() or {})}


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


class _ForPeople(logging.Handler):
    """Until `configure` there is no log: a command tells its user, on stderr, in words and not as the fields of a line. It hands
    records of others on.
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
    """The record without secrets. Of one whose arguments do not fit: the place, both, and why.

    `logging` itself would print where it was called, with the lines of the source, and a line may hold a password.
    """
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - message and arguments are anybody's
        place = f"{record.pathname}:{record.lineno}"
        text = f"{place}: {safe_text(record.msg)} with {safe_text(record.args)}: {safe_text(error)}"
    record.msg, record.args = redact(text), ()
    if record.exc_info:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record


# Where nobody has configured logging, the standard library hands this one what is at least a warning.
if logging.lastResort is not None:
    logging.lastResort = _ForPeople(logging.lastResort)


def _install(sink: Sink, writer: Writer) -> None:
    root = logging.getLogger()
    for old in root.handlers[:]:  # a library that called basicConfig would write every line twice, and not as JSON
        root.removeHandler(old)
        old.close()
    if _process.sink is not None:
        _process.sink.close()
    _process.sink, _process.handler = sink, _Handler(sink, writer)
    root.addHandler(_process.handler)
    root.setLevel(sink.level)
    logging.captureWarnings(True)
    structlog.configure(  # for task authors who use structlog themselves
        processors=_CHAIN,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _unraisable


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, Exception):  # Ctrl-C is no crash
        sys.__excepthook__(kind, error, trace)
        return
    get().critical(Event.CRASHED, exc_info=(kind, error, trace))
    # As well, for a person at a terminal; when it ends up in a capture file, its secrets must not.
    complain(redact("".join(traceback.format_exception(kind, error, trace)).rstrip()))


def _thread_crashed(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "unknown"
    logging.getLogger("threading").error(
        "exception in thread %s", name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback)
    )


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    error = args.exc_value
    logging.getLogger("python").error("%s: %s", args.err_msg or "exception ignored in", safe_text(args.object), exc_info=error)


_CHAIN: list[Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    _within,
    ProcessorFormatter.wrap_for_formatter,
]


def _tell_rename(kept: SetAside) -> None:
    _own.warning(Event.FILE_SET_ASIDE, path=kept.path, kept_as=kept.kept_as, reason=kept.reason)


regular_file.tellers.append(_tell_rename)
