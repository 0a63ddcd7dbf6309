"""What worker, beat and quota-watchdog share: one instance a host, signals as flags, a heart, an end with the supervisor."""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
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
from warren.errors import AlreadyRunning, CannotWrite, ConfigError, ExitCode, OrphanRemains, Unavailable, WarrenError
from warren.logs.events import Event
from warren.logs.setup import configure, get, keep
from warren.runtime.startup import Progress
from warren.status.heartbeat import Heart
from warren.system import strict_json
from warren.system.atomic_write import replace_file
from warren.system.private_directory import UMASK, make_closed
from warren.system.process import Process, die_with_parent, of, this, told_parent
from warren.system.process_state import ProcessState
from warren.system.regular_file import open_or_make

#: Seconds that a daemon waits for an orphan of its own name (its supervisor has vanished) to end.
ORPHAN_PATIENCE = 30.0
#: Characters of a lock file that are read; any task may have written to it.
_LONGEST_NOTE = 1000
#: Seconds that the interpreter's own end may take after a daemon's last line.
LAST_WORDS = 5.0


class Daemon:
    """One running daemon. Signals only set flags; the main loop reads them, so that no handler meets half-done work.

    SIGTERM, SIGINT: stop. SIGQUIT, and in a terminal a second SIGINT: stop at once. SIGHUP: read the settings anew.
    SIGUSR1: log what the daemon is doing.
    """

    def __init__(self, settings: Settings, name: str, program: str) -> None:
        self.settings = settings
        self.name = name
        self.program = program
        self.heart = Heart(settings.app.run_dir, program)
        self.took(settings)
        self._progress = Progress(self.heart)
        self.stopping = False
        self.hurried = False  # nothing is waited for any more
        self.reloading = False
        self._unread = ""
        self.reloads = 0  # SIGHUPs answered: what the heart says after one tells what became of it
        self.dumping = False
        # Not a threading.Event: its lock is not reentrant, and a handler that interrupts another one would wait for itself.
        self._woken: SimpleQueue[int] = SimpleQueue()
        # supervisord sets this word for its children. Started by hand, a daemon outlives its shell as any other does.
        self._supervised = bool(os.environ.get("SUPERVISOR_ENABLED"))
        # Its own word, if there is one: until here it took seconds, and by now its heir may be the parent.
        told = told_parent()
        self._parent = told.pid if told else os.getppid()
        self._supervisor = told or of(self._parent)

    # -- start -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Opens the log, becomes the one instance, takes the signals. Raises CannotWrite or AlreadyRunning."""
        app = self.settings.app
        os.umask(UMASK)  # that of the shell counts no more than under supervisord
        _make(app.state_dir)
        configure(self.name, self.program, self.settings.host, app.log_dir, self.settings.log.level)
        self.pid = os.getpid()
        self._follow_supervisor()
        self._lock()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        signal.signal(signal.SIGUSR1, self._on_dump)
        self._state = ProcessState()
        get().info(Event.STARTED, config=str(self.settings.folder))
        self.heart.beat("starting")
        self._progress.begin()

    def started(self) -> None:
        """The daemon's loop turns, and beats from here on."""
        self._progress.end()

    def regain(self) -> None:
        """Take back what the import of task modules took: the log, the signals, the word from a supervisor that dies, the limits.

        Django's `setup()` closes every handler of `logging`; a module may set signal handlers of its own, or forget to put back
        what it changed. A daemon without them hears no stop and no reload, and tells nobody.
        """
        self._state.restore()
        keep()
        self._follow_supervisor()

    def _follow_supervisor(self) -> None:
        if self._supervised and not self.orphaned:  # else the next turn says so
            die_with_parent(signal.SIGTERM, self._parent)

    def _lock(self) -> None:
        path = self.settings.app.run_dir / f"{self.program}.lock"
        try:
            make_closed(path.parent)
            self._lock_file = open(open_or_make(path), "r+", encoding="utf-8")  # noqa: SIM115  held open for as long as the daemon lives
            # A POSIX lock: not inherited by pool children, who may outlive a killed worker for a moment.
            self._take_lock(path)
            self._tell_holder()
        except OSError as error:
            where = error.filename or path
            raise CannotWrite(f"cannot write the daemon's lock {where}: {error.strerror}; set [app] run_dir") from error

    def _tell_holder(self) -> None:
        """For whoever is refused, and for scripts. Written over what a dead holder has left, which needs no room on a full disk.

        Where there is no room the daemon starts all the same, or a task that fills the disk and is killed would keep it from
        starting. The lock is the kernel's: another daemon is refused as before. What it reads is then of a dead holder, or
        nothing, so it waits as for an orphan.
        """
        supervisor = self._supervisor if self._supervised else None
        told = json.dumps([this().pid, supervisor and [supervisor.pid, supervisor.start]]).encode()
        try:
            os.pwrite(self._lock_file.fileno(), told, 0)
            os.ftruncate(self._lock_file.fileno(), len(told))
            self._write_pid()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def _write_pid(self) -> None:
        """For scripts. Only the holder of the lock writes; killed before the rename it leaves the old one, stale anyway."""
        self._pid_file = self.settings.app.run_dir / f"{self.program}.pid"
        # At the end of whatever kind. Being registered keeps this object, and with it the lock, until the file is gone: a
        # successor cannot have written its own by then.
        atexit.register(self._forget_pid, os.getpid())
        replace_file(self._pid_file, f"{os.getpid()}\n")

    def _forget_pid(self, owner: int) -> None:
        if os.getpid() == owner:  # a forked child that comes by here is not the daemon
            with suppress(OSError):
                self._pid_file.unlink()

    def _take_lock(self, path: Path) -> None:
        deadline = time.monotonic() + ORPHAN_PATIENCE
        while True:
            try:
                fcntl.lockf(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if not isinstance(error, (BlockingIOError, PermissionError)):
                    raise
            holder, orphan = self._holder()
            # An orphan is about to end: refusing to start now would leave the host without this daemon for good.
            if not orphan or time.monotonic() > deadline:
                refusal = OrphanRemains if orphan else AlreadyRunning
                raise refusal(
                    f"another {self.program} runs on this host, process {holder} ({path}); stop it first, or run one of them only"
                )
            time.sleep(0.1)

    def _holder(self) -> tuple[str, bool]:
        self._lock_file.seek(0)
        try:
            pid, supervisor = strict_json.loads(self._lock_file.read(_LONGEST_NOTE))
            # Any task may have written it: what is no number would be a path below /proc, and so any file or fifo.
            if supervisor is None:
                return str(_whole(pid)), False
            number, start = supervisor
            return str(_whole(pid)), not Process(_whole(number), _whole(start)).alive
        except (ValueError, TypeError):
            return "unknown", True  # it holds the lock and has not written yet, or was killed before it could

    # -- while it runs -----------------------------------------------------------------------------------------------

    def loop(self, turn: Callable[[], None], pause: Callable[[], float]) -> None:
        """Turns until the daemon is asked to stop or its supervisor has vanished; a signal ends the `pause` (seconds) between."""
        self.started()
        while not (self.stopping or self.orphaned):
            turn()
            self._sleep(pause())
        if self.orphaned:
            get().error(Event.SUPERVISOR_LOST, consequence=f"{self.program} ends")

    def _sleep(self, seconds: float) -> None:
        with suppress(Empty):
            self._woken.get(timeout=seconds)
            while True:  # the flags say what came; a signal after this one ends the next pause
                self._woken.get_nowait()

    @property
    def orphaned(self) -> bool:
        """Whether the supervisor that started this daemon has vanished; a shell that has ended is none."""
        return self._supervised and os.getppid() != self._parent

    def reload(self, apply: Callable[[Settings], None]) -> None:
        """Reads the settings anew and hands them to `apply`, which may refuse them too; wrong ones change nothing."""
        self.reloading = False
        try:
            settings = self._read()
            if settings is not None:
                apply(settings)
        except ConfigError as error:
            for problem in error.problems:
                get().error(Event.RELOAD_REFUSED, problem=str(problem))
        finally:
            self.reloads += 1

    def _read(self) -> Settings | None:
        """The settings as they are now. None: somebody has spoilt what the suite accepted; it writes that again, and the next
        turn finds it.
        """
        try:
            return load_again(self.settings)
        except Unavailable as error:
            if str(error) != self._unread:
                get().warning(Event.RELOAD_REFUSED, problem=str(error))
            self._unread = str(error)
            self.reloading = True
            return None

    def took(self, settings: Settings) -> None:
        """Says in the heart that these settings are taken up: a reload waits for that."""
        self.heart.generation = settings.generation

    def dump(self, **evidence: object) -> None:
        """Logs what every thread is doing."""
        self.dumping = False
        frames = sys._current_frames()
        stacks = {
            thread.name: traceback.format_stack(frames[thread.ident])
            for thread in threading.enumerate()
            if thread.ident in frames
        }
        get().info(Event.STATE_DUMPED, stacks={name: "".join(stack) for name, stack in stacks.items()}, **evidence)

    def stop(self, code: ExitCode = ExitCode.OK) -> ExitCode:
        """The last words of a daemon that ends in order."""
        self.heart.stop()
        get().info(Event.STOPPED, exit_code=int(code))
        _end_within(LAST_WORDS, code)
        return code

    def refuse(self, error: WarrenError) -> None:
        """The last words of a daemon that ends because of `error`; the heart stays, so that its supervisor can tell why."""
        self.heart.beat("stopping", refused=str(error))

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        # Under a supervisor the stop timeout is the operator's word; in a terminal Ctrl-C twice is.
        self.hurried |= number == signal.SIGQUIT or (number == signal.SIGINT and self.stopping and not self._supervised)
        self.stopping = True
        self._woken.put(number)

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self.reloading = True
        self._woken.put(number)

    def _on_dump(self, number: int, frame: FrameType | None) -> None:
        self.dumping = True
        self._woken.put(number)


def _end_within(seconds: float, code: ExitCode) -> None:
    """End this process in any case: a thread of a module that never ends, or its `atexit`, may hold up the interpreter's end.

    All work is done by now. The supervisor would wait for the whole of its own patience, and then kill.
    """

    def end() -> None:
        time.sleep(seconds)
        os._exit(int(code))

    threading.Thread(target=end, name="end", daemon=True).start()


def _whole(value: object) -> int:
    """Return the number of a process, or a clock tick. Raises TypeError where the value is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value


def _make(folder: Path) -> None:
    try:
        make_closed(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise CannotWrite(f"cannot write to {folder}: {error.strerror}; give it to this user, or set [app] state_dir") from error
