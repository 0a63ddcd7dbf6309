"""The methods that Warren adds to supervisord's own socket.

Only the suite's user may use the socket (mode 0700). So a caller of these methods may start and
stop programs anyway.
"""

from __future__ import annotations

from typing import Any

from supervisor.states import SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

NAMESPACE = "warren"


class Interface:
    """The methods warren.*, as XML-RPC calls."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite

    def restartWorkers(self, programs: list[str]) -> float:  # noqa: N802 - the style of supervisord
        """Begin a rolling restart of these workers.

        Return the name by which programs.json tells how it ended.
        """
        if self._suite.options.mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)
        known = {process.config.name for process in self._suite.daemons()}
        for program in programs:
            if program not in known or not str(program).startswith("worker-"):
                raise RPCError(Faults.BAD_NAME, str(program))
        return float(self._suite.restart_workers([str(program) for program in programs]))


def factory(suite: Any, **_: Any) -> Interface:
    """Return the interface, as supervisor expects from a section [rpcinterface:x]."""
    return Interface(suite)
