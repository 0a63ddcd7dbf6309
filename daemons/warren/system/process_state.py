"""The state of a daemon's own process, and how it is restored after foreign code (import, task)
ran.

Foreign code may change its process in any way. What belongs to that code stays changed: working
directory, environment, locale. What a worker cannot work without is restored: signals, timers,
limits, umask, streams, and switches of the interpreter.
"""

from __future__ import annotations

import builtins
import faulthandler
import os
import posixpath
import resource
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from types import ModuleType
from typing import Any

try:
    # The same function without its wrapper, which costs 2 µs per signal.
    from _signal import getsignal  # type: ignore[import-not-found]
except ImportError:
    from signal import getsignal

#: Modules on which all other code is built. If a task replaced one of their functions by `None` or
#: by a function that raises, later tasks in this process would fail, and could neither end nor be
#: given up.
TOOLS = (builtins, os, posixpath, time, signal)
#: Signals whose handlers a daemon or a pool child needs. An ignored SIGCHLD would hide the end of
#: pool children, and a SIGPIPE that is not ignored ends a process that writes to a closed
#: connection.
SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGQUIT,
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGALRM,
    signal.SIGXFSZ,
)
#: Limits that may become so low that a worker cannot open or write a file, get memory, start a
#: thread, or continue to live.
LIMITS: tuple[int, ...] = (
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_CPU,
)
LIMITS += (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK)
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: Warnings of these modules must stay warnings, although a filter turns warnings into errors: the
#: modules run in the main loop.
FILTER = (r"(warren|celery|kombu|amqp|billiard|vine|redis)(\.|$)", "default")
#: Seconds after which the interpreter switches to another thread; Python's own default.
SWITCH = 0.005
#: The highest recursion limit that a library with a good reason may set.
MOST_DEPTH = 100_000


class ProcessState:
    """The present state of the calling process.

    Create and use the object in the main thread, because only the main thread may set signal
    handlers. `tools` are modules whose functions are restored as well. A module of tasks may
    replace some of them on purpose at its import.
    """

    def __init__(self, tools: tuple[ModuleType, ...] = ()) -> None:
        self._pid = os.getpid()
        # Only functions and classes: `time.tzset` changes the values of its module.
        self._tools = [
            (
                module.__dict__.update,
                {name: tool for name, tool in vars(module).items() if callable(tool)},
            )
            for module in tools
        ]
        self._handlers = [(number, getsignal(number)) for number in SIGNALS]
        self._limits = [(name, resource.getrlimit(name)) for name in LIMITS]
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._depth = min(sys.getrecursionlimit(), MOST_DEPTH)
        self._dumping = faulthandler.is_enabled()
        try:
            self._directory = os.getcwd()
        except OSError:
            self._directory = "/"
        self._streams = [(name, getattr(sys, name)) for name in ("stdout", "stderr")]

    def restore(self) -> bool:
        """Restore what was changed.

        Returns False when a part cannot be restored: then this process must not run more tasks.
        """
        for update, tools in self._tools:  # before any function is called by its name
            update(tools)
        if threading.current_thread() is not threading.main_thread():
            return True
        for number, handler in self._handlers:
            if getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        self._restore_interpreter()
        self._restore_directory()
        _keep_warnings()
        self._restore_streams()
        # Other processes could not read a file that was made without read rights.
        os.umask(self._umask)
        # Only root can lower a nice value again: without that the next tasks would run very slowly.
        return self._restore_limits() and os.getpriority(os.PRIO_PROCESS, 0) <= self._nice

    def _restore_interpreter(self) -> None:
        for timer in TIMERS:
            if signal.getitimer(timer)[0]:
                signal.setitimer(timer, 0)
        if sys.getswitchinterval() > SWITCH:
            sys.setswitchinterval(SWITCH)
        if not callable(threading.excepthook):
            # Without the two hooks no thread can be started.
            threading.excepthook = threading.__excepthook__
        if not callable(sys.excepthook):
            sys.excepthook = sys.__excepthook__
        if sys.getrecursionlimit() > MOST_DEPTH:
            # Without a limit an endless recursion takes all memory, or the stack.
            sys.setrecursionlimit(self._depth)
        if self._dumping and not faulthandler.is_enabled():
            with suppress(Exception):  # there may be no stderr to write to
                faulthandler.enable()

    def _restore_directory(self) -> None:
        try:
            os.getcwd()
        except OSError:  # the directory was removed: no process can be started from there
            os.chdir(self._directory if os.path.isdir(self._directory) else "/")

    def _restore_limits(self) -> bool:
        fit = True
        for name, wanted in self._limits:
            found = resource.getrlimit(name)
            if found != wanted and not _limited(name, wanted):
                # Only root can raise a hard limit.
                fit = _limited(name, (wanted[0], found[1])) and fit
        return fit

    def _restore_streams(self) -> None:
        # A fork flushes both streams, and fails when they are closed.
        for name, wanted in self._streams:
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", True):
                setattr(
                    sys, name, wanted if wanted is not None and not wanted.closed else _stream(name)
                )


def _limited(name: int, wanted: tuple[int, int]) -> bool:
    try:
        resource.setrlimit(name, wanted)
    except (OSError, ValueError):
        return False
    return True


def _keep_warnings() -> None:
    first: Any = warnings.filters[0] if warnings.filters else None
    if first is None or first[0] == "error":
        module, action = FILTER
        warnings.filterwarnings(action, module=module)  # type: ignore[arg-type]


def _stream(name: str) -> Any:
    """Return a new stream on the descriptor of stdout or stderr, or on /dev/null if closed."""
    number = 1 if name == "stdout" else 2
    try:
        os.fstat(number)
        return open(
            number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
        )
    except OSError:
        return open(os.devnull, "w", encoding="utf-8")
