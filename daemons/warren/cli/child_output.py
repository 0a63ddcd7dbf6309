"""The supervision of a child of a root command.

Passes the child's output on to root, and root's signals on to the child.
"""

from __future__ import annotations

import math
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from types import FrameType
from typing import Any, TextIO

from warren.errors import WarrenError
from warren.system.plain_text import Plain

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
#: Seconds between two checks whether a silent child has been stopped (SIGSTOP).
_GLANCE = 1.0
#: Seconds that a child has to end after SIGTERM, and the same after Ctrl-C.
_END = 5.0
#: Seconds that a daemon has to end after the second Ctrl-C: more than twice the seconds that its
#: tasks have to clean up.
_HURRY = 15.0
#: Bytes of one block, of the largest pipe (pipe(7)), and of the largest kept output.
_BLOCK, _FULL_PIPE, _LARGEST = 1 << 16, 1 << 20, 1 << 24


class Kept:
    """The output of a child, up to a limit, that root's process reads for itself."""

    def __init__(self) -> None:
        self.text = bytearray()

    def write(self, data: bytes) -> None:
        """Keep a block."""
        if len(self.text) < _LARGEST:
            self.text += data

    def end(self) -> None:
        """Do nothing, because `write` holds no output back."""


class Shown:
    """The output of a child that is shown to people as plain text."""

    def __init__(self, stream: TextIO | None) -> None:
        self._out = getattr(stream, "buffer", None)  # None: the caller has closed the stream
        self._plain = Plain()

    def write(self, data: bytes) -> None:
        """Show a block. Raises OSError."""
        self._put(self._plain.of(data))

    def end(self) -> None:
        """Show the output that was held back."""
        self._put(self._plain.rest())

    def _put(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)
            self._out.flush()


class Followed:
    """A child, from its start to its end."""

    def __init__(
        self, process: subprocess.Popen[bytes], timeout: float | None, daemon: bool = False
    ) -> None:
        self._process = process
        self._timeout = timeout or 0.0
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._daemon = daemon
        self._interrupted = False
        # The time (monotonic) at which the child is killed, after a Ctrl-C that it ignores.
        self._kill_at = math.inf
        self._handle = os.pidfd_open(process.pid)

    def show(self, out: Any, err: Any) -> int:
        """Pass on the child's output until its end, and return its exit code.

        Raises WarrenError after the timeout.
        """
        before = {number: signal.signal(number, self._pass_on) for number in _PASSED_ON}
        try:
            self._pump({self._process.stdout: out, self._process.stderr: err})
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._end()
            os.close(self._handle)
        killed = self._interrupted and self._process.returncode == -signal.SIGKILL
        return -signal.SIGINT if killed else self._process.returncode

    def _pump(self, streams: dict[Any, Any]) -> None:
        with selectors.DefaultSelector() as looked_at:
            for pipe, out in streams.items():
                os.set_blocking(pipe.fileno(), False)
                looked_at.register(pipe, selectors.EVENT_READ, out)
            looked_at.register(self._handle, selectors.EVENT_READ)
            ended = False
            while not ended:
                for key, _ in looked_at.select(min(_GLANCE, self._left())):
                    if key.data is None:
                        ended = True
                    elif not _passed(key.fileobj, key.data):
                        looked_at.unregister(key.fileobj)
                self._wake()
                if time.monotonic() > self._kill_at:
                    self._send(signal.SIGKILL)
        # Processes that the child has started may hold the pipes without end. So the output ends
        # when the child ends, except for what the pipes still contain.
        for pipe, out in streams.items():
            for _ in range(_FULL_PIPE // _BLOCK):
                if not _passed(pipe, out):
                    break
            out.end()

    def _wake(self) -> None:
        """Continue the child when it was stopped (SIGSTOP) by a process of its user.

        The child has no terminal, so no operator can have stopped it on purpose.
        """
        with suppress(ChildProcessError, ProcessLookupError):  # the child has ended
            if os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG) is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGCONT)

    def _left(self) -> float:
        """Return the seconds that the child still has. Raises WarrenError when no time is left."""
        left = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            text = f"the command was ended, because it took longer than {self._timeout:g} s"
            raise WarrenError(f"{text}; look for a task module whose import hangs")
        return left

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on to the child.

        A child that ignores Ctrl-C is killed soon after the first Ctrl-C, or at the second. A
        daemon may drain its tasks, so it is killed only soon after the second Ctrl-C.
        """
        if number == signal.SIGINT:
            again, self._interrupted = self._interrupted, True
            if again and not (self._daemon and self._kill_at == math.inf):
                number = signal.SIGKILL
            elif again or not self._daemon:
                # At the second Ctrl-C a daemon requeues its tasks. This takes some seconds.
                self._kill_at = time.monotonic() + (_HURRY if again else _END)
        self._send(number)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def _end(self) -> None:
        """End the child if it still runs, and the processes that are left in its session.

        The child's process number cannot be another process's before the child is waited for.
        """
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, number)
                _ended_within(self._handle, _END)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _ended_within(handle: int, seconds: float) -> None:
    with selectors.DefaultSelector() as looked_at:
        looked_at.register(handle, selectors.EVENT_READ)
        looked_at.select(seconds)


def _passed(pipe: Any, out: Any) -> bool:
    """Pass on one block from a pipe; return False when the pipe is empty or at its end."""
    try:
        data = os.read(pipe.fileno(), _BLOCK)
    except BlockingIOError:
        return False
    if data:
        out.write(data)
    return bool(data)
