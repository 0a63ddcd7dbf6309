"""A client of the running supervisord, over its socket.

The client trusts no answer: a task may have put another socket at that path.
"""

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
from warren.status.validation import NUMBER, Shape, misfit

#: Seconds that supervisord may take for one answer: it answers between two ticks of its loop.
TIMEOUT = 10.0
#: The most bytes of an answer. An answer with a thousand programs has about 2 MB.
LARGEST = 1 << 23
#: The fields that an answer must have.
_PROGRAMS: Shape = [
    {
        "name": str,
        "group": str,
        "statename": str,
        "pid": int,
        "spawnerr": str,
        "stdout_logfile": str,
    },
]
#: What Python's XML-RPC reader raises for an answer that is not XML-RPC, in addition to its own
#: errors.
_NONSENSE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
#: How to start a suite: part of the messages that say that the suite does not run.
STARTED = "start it: warren start, or without systemd warren supervise"


@dataclass(frozen=True)
class Program:
    """A program as supervisord sees it.

    state: one of STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN. last_error: why
    the program could not start. capture: the path of the program's capture file.
    """

    program: str
    state: str
    pid: int | None
    last_error: str
    capture: Path | None


def programs(settings: Settings) -> list[Program]:
    """Return every program of this host, by name.

    Raises Unavailable when no supervisord answers.
    """
    return [
        _program(info) for info in _call(settings, "supervisor.getAllProcessInfo", shape=_PROGRAMS)
    ]


def restart_workers(settings: Settings, programs: Sequence[str]) -> float:
    """Have the suite restart these workers one after the other.

    Returns the begin of the restart, by which `programs.read` finds the outcome. Raises Unavailable
    when no supervisord answers, WarrenError when supervisord refuses.
    """
    return float(_call(settings, "warren.restartWorkers", list(programs), shape=NUMBER))


def _call(settings: Settings, method: str, *arguments: object, shape: Shape) -> Any:
    path = settings.app.run_dir / "supervisor.sock"
    transport = Transport(path)
    try:
        answer = getattr(ServerProxy("http://localhost", transport=transport), method)(*arguments)
        if problem := misfit(answer, shape):
            raise ValueError(problem)
        return answer
    except Fault as fault:
        if fault.faultCode == Faults.SHUTDOWN_STATE:
            raise Unavailable("the suite is stopping; try again when it has stopped") from fault
        raise WarrenError(f"supervisord refuses {method}: {fault.faultString}") from fault
    except PermissionError as error:
        raise Unavailable(
            f"permission denied: {path}; run this command as root or as the suite's user"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(
            f"the suite is not running; {STARTED} ({path}: {error.strerror})"
        ) from error
    except (OSError, http.client.HTTPException, Error, ExpatError, *_NONSENSE) as error:
        raise Unavailable(
            f"supervisord does not answer: {error or type(error).__name__} ({path}); see "
            "supervisord.log"
        ) from error
    finally:
        transport.close()


def _program(info: dict[str, Any]) -> Program:
    return Program(
        program=info["name"]
        if info["name"] == info["group"]
        else f"{info['group']}:{info['name']}",
        state=info["statename"],
        pid=info["pid"] or None,
        last_error=info["spawnerr"],
        capture=Path(info["stdout_logfile"]) if info["stdout_logfile"] else None,
    )


class Transport(SupervisorTransport):
    """Supervisor's transport with a time limit. Supervisor's own would wait for ever."""

    def __init__(self, path: Path) -> None:
        super().__init__(serverurl=f"unix://{path}")
        self._get_connection = lambda: _Connection(path)


class _Connection(UnixStreamHTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = _Bounded(TIMEOUT)
        self.sock.connect(str(self._path))


class _Bounded(socket.socket):
    """A socket with one time limit, and one size limit, for all that it receives.

    A time limit for each read would begin again with each byte. A peer that sends one byte at a
    time could then hold the caller for ever.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._deadline = time.monotonic() + seconds
        self._left = LARGEST
        self.settimeout(seconds)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send as a socket does, within the time limit of the whole conversation.

        Raises OSError.
        """
        self._wait()
        super().sendall(data, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive as a socket does.

        Raises OSError; also when the time or the size is used up.
        """
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
