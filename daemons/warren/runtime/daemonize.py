"""A daemon in the background of a host without systemd; whoever starts it waits until it is ready or has said why not.

Whether a daemon runs is told by its lock alone (run_dir/PROGRAM.lock). It is a POSIX lock: taken after the fork, and gone
with its holder whatever killed it. The pid file beside it is written under the lock, for scripts.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from getpass import getuser
from io import TextIOWrapper
from typing import NoReturn, TextIO, cast

from daemon import DaemonContext
from rich.console import Console

from warren.config import Settings
from warren.errors import CannotWrite, ExitCode, WarrenError
from warren.status.heartbeat import AT_WORK, read
from warren.system.printable import printable_lines
from warren.system.private_directory import UMASK, make_closed, make_logs
from warren.system.process import Process, adopt_orphans, lock_holder, of
from warren.system.regular_file import open_or_make

#: Seconds between two looks at the daemon that starts.
LOOK = 0.05


def into_background(settings: Settings, program: str, expected: Collection[str]) -> None:
    """Returns in the daemon. The calling process ends here: with 0, or with the daemon's exit code if it ended at once.

    It is ready when the hearts of all `expected` programs say so. After [supervise] start_timeout the caller ends with 0,
    too, and says on stderr what is missing: a broker that is away is no reason to start the daemon again.
    Raises CannotWrite for a folder or the capture file log_dir/PROGRAM.out, WarrenError when there is no daemon.
    """
    _open_streams()
    capture = _capture(settings, program)
    printed = os.fstat(capture.fileno()).st_size
    adopt_orphans()  # the daemon becomes this process's child when those between have ended: so its exit code is known
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(writing)
        with open(reading, encoding="ascii") as pipe:
            said = pipe.read()
        daemon = of(int(said)) if said else None
        if daemon is None:
            raise WarrenError(f"{program}: expected a process in the background, found none; its reason stands above")
        sys.exit(_Start(settings, program, expected, daemon).watch(capture, printed))
    os.close(reading)
    _become_daemon(settings, capture, writing)


def start_anew(settings: Settings, *verb: str) -> NoReturn:
    """The same process with a new program: who has no supervisor must start itself anew for its new settings.

    Every file closes, and with them the lock; killed in between, it is gone like any daemon that is killed.
    """
    words = ["-P", "-m", "warren", "--config", str(settings.folder), "--host", settings.host, *verb]
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606  a fixed list of words, as everywhere


def _open_streams() -> None:
    """Gives a caller that closed its standard streams empty ones: a file opened next would be taken for them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  for as long as the process lives


def _capture(settings: Settings, program: str) -> TextIO:
    """The file that takes what the daemon prints, which is little: its records go to the log."""
    path = settings.app.log_dir / f"{program}.out"
    before = os.umask(UMASK)
    option = "state_dir"
    try:
        make_closed(settings.app.state_dir)
        option = "log_dir"
        make_logs(settings.app.log_dir)
        file = open_or_make(path)  # what has taken its place would be waited for, or followed, or has no end
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)  # the daemon and its children share it
        return open(file, "a+", encoding="utf-8", errors="replace")
    except OSError as error:
        purpose = "what the daemon prints" if option == "log_dir" else "the daemon's state"
        raise CannotWrite(
            f"{path if option == 'log_dir' else settings.app.state_dir}: expected to write {purpose} there as {getuser()}, found "
            f"{error.filename}: {error.strerror}; make the folder and give it to that user, or set [app] {option}"
        ) from error
    finally:
        os.umask(before)


def _become_daemon(settings: Settings, capture: TextIO, writing: int) -> None:
    # A daemon that was started from a supervised program is nobody's child: it must not end with the caller.
    os.environ.pop("SUPERVISOR_ENABLED", None)
    DaemonContext(
        working_directory=os.fspath(settings.app.state_dir),
        umask=UMASK,
        detach_process=True,  # by itself it would not where the caller is a child of process 1, as in a container
        signal_map={},  # signals are the daemon's own business, exactly as in the foreground
        files_preserve=[writing],
        stdout=capture,
        stderr=capture,
        # No pidfile: it would be entered before the daemon has its lock, and a second start would overwrite the first one's.
    ).open()
    capture.close()
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)  # as supervisord's PYTHONUNBUFFERED does
    faulthandler.enable()
    os.write(writing, str(os.getpid()).encode())
    os.close(writing)


@dataclass(frozen=True)
class _Start:
    """The caller's view of a daemon that starts."""

    settings: Settings
    program: str
    expected: Collection[str]
    daemon: Process

    def watch(self, capture: TextIO, printed: int) -> int:
        """The exit code of the caller. What stands in `capture` from byte `printed` on is the daemon's."""
        try:
            code, missing = self._await_end_or_readiness()
        except KeyboardInterrupt:  # in a session of its own, the daemon has not heard it
            print(f"{self.program}: process {self.daemon.pid} goes on in the background; --stop ends it", file=sys.stderr)
            return ExitCode.FAILURE
        if code is not None:
            capture.seek(printed)
            return self._tell_end(code, capture.read())
        if missing:
            print(
                f"{self.program}: expected it to be ready within {self.settings.supervise.start_timeout:g} s, found "
                f"{_listed(missing)}; process {self.daemon.pid} goes on in the background, see {self.settings.app.log_dir}",
                file=sys.stderr,
            )
        else:
            print(f"{self.program} is ready, process {self.daemon.pid}")
        return ExitCode.OK

    def _await_end_or_readiness(self) -> tuple[int | None, dict[str, str]]:
        """The exit code if it has ended, and what is missing; start_timeout may have passed."""
        deadline = time.monotonic() + self.settings.supervise.start_timeout
        with Console(stderr=True).status(f"{self.program}: process {self.daemon.pid} starts") as progress:
            while True:
                code = self._ended()
                missing = self._missing()
                if code is not None or not missing or time.monotonic() > deadline:
                    return code, missing
                progress.update(f"{self.program}: process {self.daemon.pid}, waiting for {_listed(missing)}")
                time.sleep(LOOK)

    def _ended(self) -> int | None:
        """The daemon's exit code, minus the signal that ended it; None while it runs."""
        try:
            pid, status = os.waitpid(self.daemon.pid, os.WNOHANG)
        except ChildProcessError:  # not ours yet: the process between has not ended, though the daemon is at work
            return None if self.daemon.alive else int(ExitCode.SOFTWARE)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _missing(self) -> dict[str, str]:
        """What is not ready yet, and what its heart says. A heart of an earlier process says nothing."""
        run_dir = self.settings.app.run_dir
        try:
            if lock_holder(run_dir / f"{self.program}.lock") != self.daemon.pid:
                return {self.program: "starting"}
        except OSError:  # something else is in its place, which the daemon puts right, or says why it cannot
            return {self.program: "starting"}
        beats = read(run_dir, self.expected).beats
        missing = {}
        for program in self.expected:
            beat = beats.get(program)
            fresh = beat is not None and beat.process.start >= self.daemon.start and beat.process.alive
            state = beat.state if beat is not None and fresh else "starting"
            if state not in AT_WORK:
                missing[program] = state
        return missing

    def _tell_end(self, code: int, said: str) -> int:
        """Hands on what the daemon has printed: nobody looks for it in a file."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        unsaid = f"{self.program} ended with {how} before it was ready; see {self.settings.app.log_dir}\n"
        sys.stderr.write(printable_lines(said) or unsaid)
        return int(ExitCode.SOFTWARE) if code < 0 else code or int(ExitCode.FAILURE)


def _listed(missing: dict[str, str]) -> str:
    return ", ".join(f"{program} {state}" for program, state in missing.items())
