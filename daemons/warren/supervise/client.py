"""A running supervisord, asked over its socket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport, UnixStreamHTTPConnection

from warren.config import Settings
from warren.errors import Unavailable, WarrenError

#: Seconds that supervisord may take for an answer; it answers between two turns of its loop.
PATIENCE = 10.0
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
    return [_program(said) for said in _call(settings, "supervisor.getAllProcessInfo")]


def restart_workers(settings: Settings, programs: Sequence[str]) -> float:
    """Has the suite restart these workers one after the other; returns the name by which `programs.read` tells how it ended."""
    return float(_call(settings, "warren.restartWorkers", list(programs)))


def _call(settings: Settings, method: str, *arguments: object) -> Any:
    path = settings.app.run_dir / "supervisor.sock"
    transport = Transport(path)
    try:
        return getattr(ServerProxy("http://localhost", transport=transport), method)(*arguments)
    except Fault as fault:
        if fault.faultCode == Faults.SHUTDOWN_STATE:
            raise Unavailable("the suite is stopping; try again when it has stopped") from fault
        raise WarrenError(f"supervisord refuses {method}: {fault.faultString}") from fault
    except PermissionError as error:
        raise Unavailable(f"permission denied: {path}; run it as root or as the suite's user") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(f"the suite is not running; {STARTED} ({path}: {error.strerror})") from error
    except (OSError, http.client.HTTPException, Error, ExpatError, UnicodeError) as error:
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
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))
