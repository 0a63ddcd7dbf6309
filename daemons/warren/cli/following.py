"""A child of a command of root's, from its start to its end: its text goes to root's terminal, signals go to it."""

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
from warren.plain_text import Plain

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
#: Seconds between two looks at a child that says nothing: whether it was stopped.
_GLANCE = 1.0
#: Seconds for its end after SIGTERM, and after Ctrl-C.
_END = 5.0
#: Seconds for the end of a daemon after the second Ctrl-C: twice what its tasks have for their last words, and more.
_HURRY = 15.0
#: Bytes: of one block, of the largest pipe (pipe(7)), of the largest answer that is kept.
_BLOCK, _FULL_PIPE, _LARGEST = 1 << 16, 1 << 20, 1 << 24


class Kept:
    """What a child prints for root's process itself, up to a limit."""

    def __init__(self) -> None:
        self.text = bytearray()

    def write(self, data: bytes) -> None:
        """Keep a block."""
        if len(self.text) < _LARGEST:
            self.text += data

    def end(self) -> None:
        """Nothing is left."""


class Shown:
    """What a child prints for people: passed on as plain text."""

    def __init__(self, stream: TextIO | None) -> None:
        self._out = getattr(stream, "buffer", None)  # None: whoever called has closed it
        self._plain = Plain()

    def write(self, data: bytes) -> None:
        """Show a block. Raises OSError."""
        self._put(self._plain.of(data))

    def end(self) -> None:
        """Show what was held back."""
        self._put(self._plain.rest())

    def _put(self, data: bytes) -> None:
        if self._out is not None:
            self._out.write(data)
            self._out.flush()


class Followed:
    """A child, from its start to its end."""

    def __init__(self, process: subprocess.Popen[bytes], patience: float | None, daemon: bool = False) -> None:
        self._process = process
        self._patience = patience or 0.0
        self._deadline = None if patience is None else time.monotonic() + patience
        self._daemon = daemon
        self._interrupted = False
        self._kill_at = math.inf  # when it is killed that did not heed Ctrl-C
        self._handle = os.pidfd_open(process.pid)

    def show(self, out: Any, err: Any) -> int:
        """Pass on what it prints until it has ended; its exit code. Raises WarrenError when it takes too long."""
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
        # What it has started may hold the pipes for ever: with the child itself the text ends, but for what was in them.
        for pipe, out in streams.items():
            for _ in range(_FULL_PIPE // _BLOCK):
                if not _passed(pipe, out):
                    break
            out.end()

    def _wake(self) -> None:
        """Have it go on where a process of its user has stopped it: it has no terminal, so nobody means that."""
        with suppress(ChildProcessError, ProcessLookupError):  # it has ended
            if os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG) is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGCONT)

    def _left(self) -> float:
        """Return the seconds that it still has. Raises WarrenError when there are none."""
        left = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            text = f"the command was ended, for it took longer than {self._patience:g} s"
            raise WarrenError(f"{text}; does a task module hang while it is imported?")
        return left

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """What does not heed Ctrl-C is killed soon, or at the second one; a daemon, which may drain, soon after that."""
        if number == signal.SIGINT:
            again, self._interrupted = self._interrupted, True
            if again and not (self._daemon and self._kill_at == math.inf):
                number = signal.SIGKILL
            elif again or not self._daemon:  # a daemon gives its tasks back at the second one, which takes some seconds
                self._kill_at = time.monotonic() + (_HURRY if again else _END)
        self._send(number)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def _end(self) -> None:
        """End it, where it has not ended, and what it has left in its session. Its number is its own until it is waited for."""
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
    """Pass on a block of what is in a pipe; False when there is none, at its end."""
    try:
        data = os.read(pipe.fileno(), _BLOCK)
    except BlockingIOError:
        return False
    if data:
        out.write(data)
    return bool(data)
