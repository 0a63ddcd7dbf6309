"""The status of the suite for systemd: the datagrams of sd_notify(3)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from sdnotify import SystemdNotifier

from warren.errors import WarrenError
from warren.logs.events import Event
from warren.logs.setup import logger
from warren.redaction.masker import redact
from warren.system.printable import one_line

#: Largest size in bytes of the STATUS line. systemd reads 4096 bytes of a datagram, and drops a
#: longer datagram as a whole.
LONGEST_STATUS = 1000
#: Seconds by which a request extends the timeout of a start, reload or stop, and the seconds
#: between two requests.
MORE_TIME = 15.0
_BETWEEN = 3.0
_MICRO = 1_000_000
#: Datagrams that wait for room in systemd's socket. Beyond this number the oldest are dropped.
_BACKLOG = 50


class Notifier:
    """Sends the status to systemd.

    address: a path, or an abstract name after '@'; without an address nothing is sent. watchdog:
    seconds after which systemd restarts a silent service; None if systemd does not restart it. No
    call blocks or raises.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = address
        self._interval = None if watchdog is None else watchdog / 4
        self._pinged = self._extended = float("-inf")
        self._status = ""
        self._waiting: list[bytes] = []
        self._failed = False

    def ready(self, status: str) -> None:
        """Report the end of a start or of a reload."""
        self._status = clean(status)
        self._send("READY=1", f"STATUS={self._status}")

    def reloading(self) -> None:
        """Report that a reload begins; `ready` reports its end."""
        self._extended = float("-inf")
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Report that the suite was asked to stop."""
        self._extended = float("-inf")
        self._status = clean(status)
        self._send("STOPPING=1", f"STATUS={self._status}")

    def status(self, status: str) -> None:
        """Send one line for people, when it differs from the last line."""
        line = clean(status)
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Report that the loop runs: call this in each tick of the loop, and nowhere else.

        A datagram is sent at a quarter of the watchdog's time.
        """
        self._flush()
        now = time.monotonic()
        if self._interval is not None and now - self._pinged >= self._interval:
            self._pinged = now
            self._send("WATCHDOG=1")

    def extend(self, seconds: float = MORE_TIME) -> None:
        """Report progress: the running start, reload or stop may take at least `seconds` longer."""
        now = time.monotonic()
        if now - self._extended >= _BETWEEN:
            self._extended = now
            self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * _MICRO)}")

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Send the error that ends the block as the last STATUS.

        So `systemctl status` says why a start was refused.
        """
        try:
            yield
        except WarrenError as error:
            self.status(f"refused: {first_problem(error)}")
            raise

    def _send(self, *assignments: str) -> None:
        if self._address:
            self._waiting = [*self._waiting, "\n".join(assignments).encode(errors="replace")][
                -_BACKLOG:
            ]
            self._flush()

    def _flush(self) -> None:
        """Send the waiting datagrams in their order.

        Never wait for a systemd that reads slowly: this is supervisord's own loop.
        """
        while self._waiting:
            try:
                _deliver(self._address, self._waiting[0])
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
            del self._waiting[0]

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            # the error of an address that is too long has no strerror
            why = error.strerror or error
            logger().error(
                Event.NOTIFY_FAILED, reason=f"systemd takes no datagram on NOTIFY_SOCKET: {why}"
            )


def _deliver(address: str, datagram: bytes) -> None:
    """Send one datagram by sdnotify, over a connection of its own: the socket may be a new one.

    Raises OSError; BlockingIOError when the socket has no room.
    """
    os.environ["NOTIFY_SOCKET"] = address  # sdnotify takes the address from nowhere else
    try:
        notifier = SystemdNotifier(debug=True)  # without `debug` it swallows every error
    finally:
        del os.environ["NOTIFY_SOCKET"]  # before a child starts: it is not the service
    with notifier.socket as connected:
        connected.setblocking(False)
        # sdnotify encodes as latin-1, in which each byte of UTF-8 is a character of its own.
        notifier.notify(datagram.decode("latin-1"))


def take(environment: MutableMapping[str, str]) -> Notifier:
    """Return the notifier for the socket that the environment names; remove its variables.

    Otherwise a child process would believe that it is the service.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    usec = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", "")
    ours = usec.isdigit() and int(usec) > 0 and pid in ("", str(os.getpid()))
    return Notifier(address, int(usec) / _MICRO if ours else None)


def first_problem(error: WarrenError) -> str:
    """Return the first problem of an error in one line, and how many other problems there are."""
    problems = [str(problem) for problem in getattr(error, "problems", ())] or [str(error)]
    return problems[0] if len(problems) == 1 else f"{problems[0]} (and {len(problems) - 1} more)"


def clean(status: str) -> str:
    """Return one line of UTF-8 that is short enough for a datagram; systemd refuses anything else.

    systemd takes a backslash for an escape, so each backslash is doubled.
    """
    line = (
        one_line(redact(status), 2 * LONGEST_STATUS).replace("\\", "\\\\").encode(errors="replace")
    )
    return (
        line.decode()
        if len(line) <= LONGEST_STATUS
        else f"{line[: LONGEST_STATUS - 3].decode(errors='ignore')}..."
    )
