"""A daemon in the background of a host without systemd.

The command that starts the daemon waits until the daemon is ready or has said why it cannot start.
Only the lock (run_dir/PROGRAM.lock) says whether a daemon runs. The daemon takes this POSIX lock
after the fork; the kernel releases the lock when the daemon ends, whatever has killed the daemon.
The pid file beside the lock is for scripts, and is written under the lock.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from io import TextIOWrapper
from typing import NoReturn, TextIO, cast

from daemon import DaemonContext
from rich.console import Console

from warren.config import Settings
from warren.errors import CannotWrite, ExitCode, WarrenError
from warren.runtime.own_command import own_command
from warren.status.condition import Condition
from warren.status.heartbeat import read
from warren.system.lock_holder import lock_holder
from warren.system.printable import printable_lines
from warren.system.private_directory import UMASK, make_closed, make_logs
from warren.system.process import Process, adopt_orphans, process_of
from warren.system.regular_file import open_or_make
from warren.system.users import own_name

#: Seconds between two looks at a daemon that starts.
LOOK = 0.05


def into_background(settings: Settings, program: str, expected: Collection[str]) -> None:
    """Return in the daemon. The calling process ends here.

    The caller exits with 0 when the daemon is ready, or with the daemon's exit code if the daemon
    has ended before that. The daemon is ready when the heartbeats of all `expected` programs say
    so. After [supervise] start_timeout the caller exits with 0 as well, and prints on stderr what
    is missing: a broker that is away is no reason to start the daemon again.

    Raises CannotWrite for a directory or for the capture file log_dir/PROGRAM.out, WarrenError when
    no daemon was started.
    """
    _open_streams()
    capture = _capture(settings, program)
    printed = os.fstat(capture.fileno()).st_size
    # When the processes in between have ended, the daemon becomes a child of this process. So its
    # exit code can be read.
    adopt_orphans()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(writing)
        with open(reading, encoding="ascii") as pipe:
            answer = pipe.read()
        daemon = process_of(int(answer)) if answer else None
        if daemon is None:
            raise WarrenError(
                f"{program} did not start in the background: its process ended at once; the reason "
                "is printed above"
            )
        sys.exit(_Start(settings, program, expected, daemon).watch(capture, printed))
    os.close(reading)
    _become_daemon(settings, capture, writing)


def start_again(settings: Settings, *verb: str) -> NoReturn:
    """Replace this process by a new program.

    A daemon without a supervisor must start itself again for its new settings. Every file is
    closed, and with its file the lock is released. A kill before the daemon has the lock again
    leaves no daemon, as any kill does.
    """
    # A fixed command, as everywhere.
    os.execv(sys.executable, own_command(settings, *verb))  # noqa: S606


def _open_streams() -> None:
    """Open empty streams in the place of standard streams that the caller has closed.

    Otherwise the next file that is opened would be taken for a standard stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Not in a `with` block: the stream stays open for as long as the process lives.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _capture(settings: Settings, program: str) -> TextIO:
    """Return the file for the daemon's output.

    The output is little, because the daemon's records go to the log.
    """
    path = settings.app.log_dir / f"{program}.out"
    before = os.umask(UMASK)
    option = "state_dir"
    try:
        make_closed(settings.app.state_dir)
        option = "log_dir"
        make_logs(settings.app.log_dir)
        # open_or_make, because another kind of file at this path could block the open, or lead to
        # another file, or never end.
        file = open_or_make(path)
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)  # shared with the daemon and its children
        return open(file, "a+", encoding="utf-8", errors="replace")
    except OSError as error:
        purpose = "what the daemon prints" if option == "log_dir" else "the daemon's state"
        raise CannotWrite(
            f"{path if option == 'log_dir' else settings.app.state_dir}: cannot write {purpose} "
            f"there as {own_name()}: {error.filename}: {error.strerror}; make the directory and "
            f"give it to that user, or set [app] {option}"
        ) from error
    finally:
        os.umask(before)


def _become_daemon(settings: Settings, capture: TextIO, writing: int) -> None:
    # A daemon that was started from a supervised program is not a child of a supervisor. It must
    # not end together with the caller.
    os.environ.pop("SUPERVISOR_ENABLED", None)
    DaemonContext(
        working_directory=os.fspath(settings.app.state_dir),
        umask=UMASK,
        # By default DaemonContext does not detach a child of process 1, which the caller may be in
        # a container.
        detach_process=True,
        signal_map={},  # the daemon sets its own signal handlers, exactly as in the foreground
        files_preserve=[writing],
        stdout=capture,
        stderr=capture,
        # No pidfile: DaemonContext would write the file before the daemon has its lock. A second
        # start would then overwrite the file of the first daemon.
    ).open()
    capture.close()
    # supervisord does the same by PYTHONUNBUFFERED.
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
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
        """Wait for the daemon; return the exit code of the caller.

        The content of `capture` from the byte `printed` on is the daemon's output.
        """
        try:
            code, missing = self._await_end_or_readiness()
        except KeyboardInterrupt:  # the daemon's own session has not got the signal
            print(
                f"{self.program}: process {self.daemon.pid} continues in the background; "
                "--stop ends the process",
                file=sys.stderr,
            )
            return ExitCode.FAILURE
        if code is not None:
            capture.seek(printed)
            return self._report_end(code, capture.read())
        if missing:
            print(
                f"{self.program} is not ready after {self.settings.supervise.start_timeout:g} s: "
                f"{_listed(missing)}; process {self.daemon.pid} continues in the background, see "
                f"{self.settings.app.log_dir}",
                file=sys.stderr,
            )
        else:
            print(f"{self.program} is ready, process {self.daemon.pid}")
        return ExitCode.OK

    def _await_end_or_readiness(self) -> tuple[int | None, dict[str, str]]:
        """Wait until the daemon ends, is ready, or start_timeout has passed.

        Returns the daemon's exit code, None while the daemon runs, and the programs that are not
        ready yet.
        """
        deadline = time.monotonic() + self.settings.supervise.start_timeout
        with Console(stderr=True).status(
            f"{self.program}: process {self.daemon.pid} starts"
        ) as progress:
            while True:
                code = self._ended()
                missing = self._missing()
                if code is not None or not missing or time.monotonic() > deadline:
                    return code, missing
                progress.update(
                    f"{self.program}: process {self.daemon.pid}, waiting for {_listed(missing)}"
                )
                time.sleep(LOOK)

    def _ended(self) -> int | None:
        """Return the daemon's exit code, negative for a signal; None while the daemon runs."""
        try:
            pid, status = os.waitpid(self.daemon.pid, os.WNOHANG)
        # The daemon is not a child of this process yet: the process in between has not ended,
        # although the daemon already works.
        except ChildProcessError:
            return None if self.daemon.alive else int(ExitCode.SOFTWARE)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _missing(self) -> dict[str, str]:
        """Return the programs that are not ready yet, with the states in their heartbeats.

        The heartbeat of an earlier process does not count.
        """
        run_dir = self.settings.app.run_dir
        try:
            if lock_holder(run_dir / f"{self.program}.lock") != self.daemon.pid:
                return {self.program: "starting"}
        # Another kind of file is at the path of the lock. The daemon removes it, or says why that
        # is impossible.
        except OSError:
            return {self.program: "starting"}
        heartbeats = read(run_dir, self.expected).by_program
        missing = {}
        for program in self.expected:
            heartbeat = heartbeats.get(program)
            fresh = (
                heartbeat is not None
                and heartbeat.process.start >= self.daemon.start
                and heartbeat.process.alive
            )
            state = heartbeat.state if heartbeat is not None and fresh else "starting"
            if not Condition.of_heartbeat(state).ready:
                missing[program] = state
        return missing

    def _report_end(self, code: int, output: str) -> int:
        """Print the daemon's output, because no operator would look for it.

        Returns the exit code.
        """
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        summary = (
            f"{self.program} ended with {how} before it was ready; see "
            f"{self.settings.app.log_dir}\n"
        )
        sys.stderr.write(printable_lines(output) or summary)
        return int(ExitCode.SOFTWARE) if code < 0 else code or int(ExitCode.FAILURE)


def _listed(missing: dict[str, str]) -> str:
    return ", ".join(f"{program} {state}" for program, state in missing.items())
