"""The part that worker, beat and quota-watchdog share.

The part has one instance per host, signals as flags, a heartbeat, and an end together with the
supervisor.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from warren.config import Settings, load_again
from warren.errors import CannotWrite, ConfigError, ExitCode, Unavailable, WarrenError
from warren.logs.events import Event
from warren.logs.setup import configure, keep, logger
from warren.runtime.instance_lock import InstanceLock
from warren.runtime.startup import Progress
from warren.status.heartbeat import HeartbeatWriter
from warren.system.private_directory import UMASK, make_closed
from warren.system.process import die_with_parent, process_of, told_parent
from warren.system.process_state import ProcessState

#: Seconds that the interpreter may take to end after a daemon's last log line.
LAST_WORDS = 5.0


class Daemon:
    """One running daemon.

    Signal handlers only set flags, which the main loop reads. So no handler interrupts unfinished
    work. SIGTERM, SIGINT: stop. SIGQUIT, and in a terminal a second SIGINT: stop at once. SIGHUP:
    read the settings again. SIGUSR1: log what the daemon is doing.
    """

    def __init__(self, settings: Settings, name: str, program: str) -> None:
        self.settings = settings
        self.name = name
        self.program = program
        self.heartbeat = HeartbeatWriter(settings.app.run_dir, program)
        self.took(settings)
        self._progress = Progress(self.heartbeat)
        self.stopping = False
        self.hurried = False  # True: the daemon waits for nothing any more
        self.reloading = False
        self._unread = ""
        # The number of handled SIGHUPs. The next heartbeat reports the outcome of each.
        self.reloads = 0
        self.dumping = False
        # A threading.Event would not do: its lock is not reentrant. A signal handler that
        # interrupts another handler would wait for that handler, which cannot continue.
        self._woken: SimpleQueue[int] = SimpleQueue()
        self._handlers = {
            **dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGQUIT), self._on_stop),
            signal.SIGHUP: self._on_reload,
            signal.SIGUSR1: self._on_dump,
        }
        # supervisord sets this variable for its children. A daemon that was started by hand has no
        # supervisor: it outlives its shell, as any daemon does.
        self._supervised = bool(os.environ.get("SUPERVISOR_ENABLED"))
        # The parent may have set a variable that names it. The start has taken seconds until here,
        # and meanwhile another process may have become the parent.
        parent = told_parent()
        #: Whether a `supervise` of Warren has started this daemon, and will start it again.
        self.kept = parent is not None
        self._parent = parent.pid if parent else os.getppid()
        self._supervisor = parent or process_of(self._parent)

    # -- start -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the log, become the only instance, set the signal handlers.

        Raises CannotWrite or AlreadyRunning.
        """
        app = self.settings.app
        os.umask(UMASK)  # the umask of a shell must not count; under supervisord it never does
        _make(app.state_dir)
        configure(self.name, self.program, self.settings.host, app.log_dir, self.settings.log.level)
        self.pid = os.getpid()
        self._follow_supervisor()
        self._instance = InstanceLock(
            app.run_dir, self.program, self._supervisor if self._supervised else None
        )
        self._instance.take()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._state = ProcessState()
        logger().info(Event.STARTED, config=str(self.settings.directory))
        self.heartbeat.write("starting")
        self._progress.begin()

    def started(self) -> None:
        """Note that the daemon's loop runs. From now on the loop writes the heartbeats."""
        self._progress.end()

    def regain(self) -> None:
        """Restore what the import of task modules has taken away.

        Restores the log, the signal handlers, the signal at the supervisor's death, and the limits.
        Django's `setup()` closes every handler of `logging`. A module may set signal handlers of
        its own, or forget to restore what it changed. Without its handlers a daemon would get no
        stop and no reload, and nothing would report that.
        """
        self._state.restore()
        keep()
        self._follow_supervisor()

    def _follow_supervisor(self) -> None:
        if self._supervised and not self.orphaned:  # the next tick reports an orphan
            die_with_parent(signal.SIGTERM, self._parent)

    # -- while it runs -----------------------------------------------------------------------------

    def loop(self, step: Callable[[], None], pause: Callable[[], float]) -> None:
        """Call `step` until the daemon is asked to stop or its supervisor has vanished.

        `pause` returns the seconds between two ticks; a signal ends a pause.
        """
        self.started()
        while not (self.stopping or self.orphaned):
            step()
            self._sleep(pause())
        if self.orphaned:
            logger().error(Event.SUPERVISOR_LOST, consequence=f"{self.program} ends")

    def _sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._woken.get(timeout=seconds)
            while True:  # the flags say which signals came; later signals end the next pause
                self._woken.get_nowait()

    def wake(self) -> None:
        """End the pause of the loop, so that the next tick comes at once.

        Any thread may call this.
        """
        self._woken.put(0)

    @property
    def orphaned(self) -> bool:
        """Return whether the supervisor of this daemon has vanished. A shell is no supervisor."""
        return self._supervised and os.getppid() != self._parent

    def reload(self, apply: Callable[[Settings], None]) -> None:
        """Read the settings again and pass them to `apply`. `apply` may refuse the settings.

        Wrong or refused settings change nothing.
        """
        self.reloading = False
        try:
            settings = self._read()
            if settings is not None:
                apply(settings)
        except ConfigError as error:
            for problem in error.problems:
                logger().error(Event.RELOAD_REFUSED, problem=str(problem))
        finally:
            self.reloads += 1

    def _read(self) -> Settings | None:
        """Return the present settings.

        Returns None when a task has damaged the accepted settings. The suite writes them again, and
        the next tick reads them.
        """
        try:
            return load_again(self.settings)
        except Unavailable as error:
            if str(error) != self._unread:
                logger().warning(Event.RELOAD_REFUSED, problem=str(error))
            self._unread = str(error)
            self.reloading = True
            return None

    def took(self, settings: Settings) -> None:
        """Report in the heartbeat that the daemon has taken up these settings.

        A reload waits for this report.
        """
        self.heartbeat.generation = settings.generation

    def dump(self, **details: object) -> None:
        """Log the stack of every thread, with `details`."""
        self.dumping = False
        frames = sys._current_frames()
        stacks = {
            thread.name: traceback.format_stack(frames[thread.ident])
            for thread in threading.enumerate()
            if thread.ident in frames
        }
        logger().info(
            Event.STATE_DUMPED,
            stacks={name: "".join(stack) for name, stack in stacks.items()},
            **details,
        )

    def stop(self, code: ExitCode = ExitCode.OK) -> ExitCode:
        """Write the last log line of a daemon that ends cleanly; return its exit code."""
        self.heartbeat.stop()
        logger().info(Event.STOPPED, exit_code=int(code))
        # At its end Python gives each handled signal back to the kernel. The kernel's default would
        # kill the process, and supervisord would report a crash. So the signals are ignored from
        # here: all work is done, and the process is about to end.
        for number in self._handlers:
            signal.signal(number, signal.SIG_IGN)
        _end_within(LAST_WORDS, code)
        return code

    def refuse(self, error: WarrenError) -> None:
        """Write the last heartbeat of a daemon that ends because of `error`.

        The heartbeat file stays, so that the supervisor can report the reason.
        """
        self.heartbeat.write("stopping", refused=str(error))

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        # Under a supervisor, the stop timeout says when to hurry. In a terminal, a second Ctrl-C
        # says so.
        self.hurried |= number == signal.SIGQUIT or (
            number == signal.SIGINT and self.stopping and not self._supervised
        )
        self.stopping = True
        self._woken.put(number)

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self.reloading = True
        self._woken.put(number)

    def _on_dump(self, number: int, frame: FrameType | None) -> None:
        self.dumping = True
        self._woken.put(number)


def _end_within(seconds: float, code: ExitCode) -> None:
    """End this process in any case after `seconds`, with the exit code `code`.

    The end of the interpreter may be blocked by a thread of a task module that never ends, or by a
    module's `atexit` function. All work is done by now. Without this the supervisor would wait for
    its whole timeout, and then kill the process.
    """

    def end() -> None:
        time.sleep(seconds)
        os._exit(int(code))

    threading.Thread(target=end, name="end", daemon=True).start()


def _make(directory: Path) -> None:
    try:
        make_closed(directory)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CannotWrite(
            f"cannot write to {directory}: {error.strerror}; give this user the right, or set "
            "[app] state_dir"
        ) from error
