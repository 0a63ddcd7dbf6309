"""A running supervisord, asked over its socket; under that name a task may have put a socket of its own."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport, UnixStreamHTTPConnection

from warren.config import Settings
from warren.errors import Unavailable, WarrenError
from warren.shape import NUMBER, Shape, misfit

#: Seconds that supervisord may take for a whole answer; it answers between two turns of its loop.
PATIENCE = 10.0
#: Bytes of the largest answer; one of a thousand programs has some 2 MB.
LARGEST = 1 << 23
#: What is needed of an answer.
_PROGRAMS: Shape = [
    {"name": str, "group": str, "statename": str, "pid": int, "spawnerr": str, "stdout_logfile": str},
]
#: What Python's reader of XML-RPC makes of an answer that is none, beside its own errors.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
#: How a suite is started, for those who miss one.
STARTED = "start it: warren start, or without systemd warren supervise"


@dataclass(frozen=True)
class Program:
    """A program as supervisord sees it.

    `state` is one of STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN; `trouble` says why it could not start.
    """

    program: str
    state: str
    pid: int | None
    trouble: str
    capture: Path | None


def programs(settings: Settings) -> list[Program]:
    """Every program of this host, by name. Raises Unavailable when no supervisord answers."""
    return [_program(said) for said in _call(settings, "supervisor.getAllProcessInfo", shape=_PROGRAMS)]


def restart_workers(settings: Settings, programs: Sequence[str]) -> float:
    """Has the suite restart these workers one after the other; returns the name by which `programs.read` tells how it ended."""
    return float(_call(settings, "warren.restartWorkers", list(programs), shape=NUMBER))


def _call(settings: Settings, method: str, *arguments: object, shape: Shape) -> Any:
    path = settings.app.run_dir / "supervisor.sock"
    transport = Transport(path)
    try:
        said = getattr(ServerProxy("http://localhost", transport=transport), method)(*arguments)
        if problem := misfit(said, shape):
            raise ValueError(problem)
        return said
    except Fault as fault:
        if fault.faultCode == Faults.SHUTDOWN_STATE:
            raise Unavailable("the suite is stopping; try again when it has stopped") from fault
        raise WarrenError(f"supervisord refuses {method}: {fault.faultString}") from fault
    except PermissionError as error:
        raise Unavailable(f"permission denied: {path}; run it as root or as the suite's user") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(f"the suite is not running; {STARTED} ({path}: {error.strerror})") from error
    except (OSError, http.client.HTTPException, Error, ExpatError, *_NONSENSE) as error:
        raise Unavailable(
            f"supervisord does not answer: {error or type(error).__name__} ({path}); see supervisord.log"
        ) from error
    finally:
        transport.close()


def _program(said: dict[str, Any]) -> Program:
    return Program(
        program=said["name"] if said["name"] == said["group"] else f"{said['group']}:{said['name']}",
        state=said["statename"],
        pid=said["pid"] or None,
        trouble=said["spawnerr"],
        capture=Path(said["stdout_logfile"]) if said["stdout_logfile"] else None,
    )


class Transport(SupervisorTransport):
    """Supervisor's own, which would wait for ever for one that hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__(serverurl=f"unix://{path}")
        self._get_connection = lambda: _Connection(path)


class _Connection(UnixStreamHTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = _Bounded(PATIENCE)
        self.sock.connect(str(self._path))


class _Bounded(socket.socket):
    """A socket over which all that is said has one time limit, and a largest size.

    A time limit of its own for each read would begin anew with each byte: whoever sends one at a time would never be left.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._deadline = time.monotonic() + seconds
        self._left = LARGEST
        self.settimeout(seconds)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As of a socket. Its time limit is for the whole of it. Raises OSError."""
        self._wait()
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As of a socket. Raises OSError, also when there was no time or no room left."""
        self._wait()
        found = super().recv_into(buffer, nbytes, flags)
        self._left -= found
        if self._left < 0:
            raise OSError(f"more than {LARGEST} bytes")
        return found

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)
