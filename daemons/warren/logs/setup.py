"""The log of a process: each record becomes one JSON object per line, also a record of a library.

Every line has the same first fields.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

import structlog

from warren.errors import CannotWrite
from warren.logs.console import Console
from warren.logs.events import Event
from warren.logs.formatter import Writer, level_name, safe_text
from warren.logs.record_handler import CHAIN, Handler
from warren.logs.sink import Sink, task_fields
from warren.logs.writer import LineFile, complain
from warren.redaction.masker import redact
from warren.system import regular_file
from warren.system.obstacles import MovedAway
from warren.system.private_directory import make_logs
from warren.system.users import own_name


class Logger(Protocol):
    """A logger that takes only the events of events.py."""

    def debug(self, event: Event, **fields: object) -> None: ...
    def info(self, event: Event, **fields: object) -> None: ...
    def warning(self, event: Event, **fields: object) -> None: ...
    def error(self, event: Event, **fields: object) -> None: ...
    def critical(self, event: Event, **fields: object) -> None: ...

    def exception(self, event: Event, **fields: object) -> None:
        """Log at level error.

        The field `exception` has the traceback of the handled exception.
        """

    def bind(self, **fields: object) -> Logger:
        """Return a logger that adds `fields` to each of its lines."""


class _Own:
    """Writes to the log of this process, without `logging`.

    Before `configure` was called, writes to stderr for people.
    """

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
            # A command has no log. The standard library passes its warnings and errors to
            # logs.console.
            logger = structlog.wrap_logger(
                logging.getLogger("warren"), CHAIN, structlog.stdlib.BoundLogger
            )
            getattr(logger, level_name(level))(event, **fields)


class _Process:
    """The log of this process. There is none before `configure` was called."""

    sink: Sink | None = None
    handler: Handler | None = None


_process = _Process()
_own = _Own()


def logger() -> Logger:
    """Return the logger for Warren's own events; also before `configure` was called."""
    return _own


def is_configured() -> bool:
    """Return whether this process has a log."""
    return _process.sink is not None


def losing() -> bool:
    """Return whether the last line could not be written.

    The disk may be full, or a limit of the process may be too low.
    """
    return _process.sink is not None and _process.sink.losing


def configure(
    daemon: str,
    program: str,
    host: str,
    directory: Path,
    level: str = "info",
    also_journal: bool = False,
) -> None:
    """Write every record of this process to `directory`/`daemon`.log from now on.

    A second call replaces the first. level: debug, info, warning, error or critical. also_journal:
    also write each line as text to stderr, which leads to the journal. Raises CannotWrite when the
    file cannot be opened; later failures never reach the caller of a logger.
    """
    writer = Writer(daemon, program, host)
    path = directory / f"{daemon}.log"
    try:
        make_logs(directory)
        file = LineFile(path, partial(writer.lines_lost, path), writer.move_away)
    except OSError as error:
        raise CannotWrite(
            f"cannot open the log file {path}: {error.strerror}; let user {own_name()} write "
            "there, or set log_dir in [app]"
        ) from error
    _install(Sink(file, writer, _number(level), also_journal), writer)


def set_level(level: str) -> None:
    """Set the level of Warren's own lines and of its libraries' lines at once."""
    if _process.sink is not None:
        _process.sink.level = _number(level)
    logging.getLogger().setLevel(level.upper())


def keep() -> None:
    """Restore what a task, or a module at its import, has changed in `logging`.

    Then the lines of libraries and authors are written again. Warren's own events do not need this.
    Handlers and filters that other code has added stay.
    """
    handler, root = _process.handler, logging.getLogger()
    if handler is None or _process.sink is None:
        return
    if root.manager.disable:
        logging.disable(logging.NOTSET)
    if root.level != _process.sink.level:
        root.setLevel(_process.sink.level)
    if handler.closed or handler not in root.handlers:
        # `dictConfig` makes this necessary: it closes every handler, and disables the loggers that
        # it does not name.
        handler.closed = root.disabled = False
        if handler not in root.handlers:
            root.addHandler(handler)
        for logger in root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False


def end() -> None:
    """Close the log of this process. From then on `logger` writes to stderr for people."""
    sink, handler = _process.sink, _process.handler
    _process.sink = _process.handler = None
    if handler is not None:
        logging.getLogger().removeHandler(handler)
    if sink is not None:
        sink.close()


def bind(**fields: object) -> None:
    """Add `fields` to every line of the calling thread from now on.

    It does not matter which code writes the line.
    """
    task_fields.set({**(task_fields.get() or {}), **fields})


def unbind(*names: str) -> None:
    """Remove fields that `bind` has added. A name that is not bound is no error."""
    task_fields.set(
        {name: value for name, value in (task_fields.get() or {}).items() if name not in names}
    )


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


# When no code has configured logging, the standard library gives this handler the warnings and
# errors.
if logging.lastResort is not None:
    logging.lastResort = Console(logging.lastResort)


def _install(sink: Sink, writer: Writer) -> None:
    root = logging.getLogger()
    # A library that calls basicConfig would write every line a second time, and not as JSON.
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    if _process.sink is not None:
        _process.sink.close()
    _process.sink, _process.handler = sink, Handler(sink, writer)
    root.addHandler(_process.handler)
    root.setLevel(sink.level)
    logging.captureWarnings(True)
    structlog.configure(  # for task authors who use structlog themselves
        processors=CHAIN,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _unraisable


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, Exception):  # Ctrl-C is not a crash
        sys.__excepthook__(kind, error, trace)
        return
    logger().critical(Event.CRASHED, exc_info=(kind, error, trace))
    # The error also goes to stderr, for a person at a terminal. stderr may be a capture file, so
    # the text has no secrets.
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
    logging.getLogger("python").error(
        "%s: %s", args.err_msg or "exception ignored in", safe_text(args.object), exc_info=error
    )


def _tell_rename(kept: MovedAway) -> None:
    _own.warning(Event.FILE_MOVED_AWAY, path=kept.path, kept_as=kept.kept_as, reason=kept.reason)


regular_file.tellers.append(_tell_rename)
