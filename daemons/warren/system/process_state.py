"""What a daemon needs of its own process, and puts back after code of others ran in it: a module's import, a task.

Such code may do what it likes to the process it runs in. What is its own business stays: working directory, environment, locale.
What a worker cannot work without comes back: signals, timers, limits, umask, streams, and switches of the interpreter.
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
    # The same without the wrapper, which costs 2 µs a signal.
    from _signal import getsignal  # type: ignore[import-not-found]
except ImportError:
    from signal import getsignal

#: What all else is made of. A function of these that a task has replaced, by `None` or by one that raises, would fail
#: the tasks that follow in this process, which would neither end nor be given up.
TOOLS = (builtins, os, posixpath, time, signal)
#: Signals whose handlers a daemon or a pool child relies on. A SIGCHLD that is ignored would hide the end of pool children,
#: and a SIGPIPE that is not ignored ends a process that writes to a closed connection.
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
#: Limits that may be lowered so far that a worker cannot open a file, write one, get memory, start a thread, or live on.
LIMITS: tuple[int, ...] = (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CPU)
LIMITS += (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK)
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
#: A warning of these must stay one, whatever filter says that warnings are errors: they run in the main loop.
FILTER = (r"(warren|celery|kombu|amqp|billiard|vine|redis)(\.|$)", "default")
#: Seconds after which another thread gets its turn; Python's own default.
SWITCH = 0.005
#: The most that a library with a reason for it may set.
MOST_DEPTH = 100_000


class ProcessState:
    """The state of the calling process as it is now. Make it and use it in the main thread: only that one may set signals.

    `tools` are modules whose functions are put back, too. A module of tasks may replace some at its import, and mean it.
    """

    def __init__(self, tools: tuple[ModuleType, ...] = ()) -> None:
        self._pid = os.getpid()
        # Functions and classes alone: `time.tzset` changes the values of its module.
        self._tools = [
            (module.__dict__.update, {name: tool for name, tool in vars(module).items() if callable(tool)}) for module in tools
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
            self._folder = os.getcwd()
        except OSError:
            self._folder = "/"
        self._streams = [(name, getattr(sys, name)) for name in ("stdout", "stderr")]

    def restore(self) -> bool:
        """Put back what was changed. False when something cannot be: this process is not fit for more tasks."""
        for update, tools in self._tools:  # before anything is called by its name
            update(tools)
        if threading.current_thread() is not threading.main_thread():
            return True
        for number, handler in self._handlers:
            if getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        self._restore_interpreter()
        self._restore_folder()
        _keep_warnings()
        self._restore_streams()
        os.umask(self._umask)  # a file that nobody may read would be lost to the others
        # Only root gets back to the front: the tasks after it would crawl.
        return self._restore_limits() and os.getpriority(os.PRIO_PROCESS, 0) <= self._nice

    def _restore_interpreter(self) -> None:
        for timer in TIMERS:
            if signal.getitimer(timer)[0]:
                signal.setitimer(timer, 0)
        if sys.getswitchinterval() > SWITCH:
            sys.setswitchinterval(SWITCH)
        if not callable(threading.excepthook):
            threading.excepthook = threading.__excepthook__  # without the two no thread can be started
        if not callable(sys.excepthook):
            sys.excepthook = sys.__excepthook__
        if sys.getrecursionlimit() > MOST_DEPTH:
            sys.setrecursionlimit(self._depth)  # without a limit an endless recursion takes all memory, or the stack
        if self._dumping and not faulthandler.is_enabled():
            with suppress(Exception):  # no stderr to write to
                faulthandler.enable()

    def _restore_folder(self) -> None:
        try:
            os.getcwd()
        except OSError:  # a folder that somebody has removed: from there no process can be started
            os.chdir(self._folder if os.path.isdir(self._folder) else "/")

    def _restore_limits(self) -> bool:
        fit = True
        for name, wanted in self._limits:
            found = resource.getrlimit(name)
            if found != wanted and not _limited(name, wanted):
                fit = _limited(name, (wanted[0], found[1])) and fit  # only root gets a higher hard limit
        return fit

    def _restore_streams(self) -> None:
        # Whoever forks flushes both, and fails when they are closed.
        for name, wanted in self._streams:
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", True):
                setattr(sys, name, wanted if wanted is not None and not wanted.closed else _stream(name))


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
    """Return a new stream on the descriptor of stdout or stderr, or on /dev/null when that is closed too."""
    number = 1 if name == "stdout" else 2
    try:
        os.fstat(number)
        return open(number, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    except OSError:
        return open(os.devnull, "w", encoding="utf-8")
