"""What may be asked of the suite by supervisord's own socket, beside what supervisord offers there.

The socket is its user's alone (mode 0700). So whoever may ask this may stop and start programs anyway.
"""

from __future__ import annotations

from typing import Any

from supervisor.states import SupervisorStates
from supervisor.xmlrpc import Faults, RPCError

NAMESPACE = "warren"


class Interface:
    """The methods warren.*, as XML-RPC calls them."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite

    def restartWorkers(self, programs: list[str]) -> float:  # noqa: N802 - as supervisord's own methods are written
        """Begin a rolling restart of these workers; return the name by which programs.json tells how it ended."""
        if self._suite.options.mood < SupervisorStates.RUNNING:
            raise RPCError(Faults.SHUTDOWN_STATE)
        known = {process.config.name for process in self._suite.daemons()}
        for program in programs:
            if program not in known or not str(program).startswith("worker-"):
                raise RPCError(Faults.BAD_NAME, str(program))
        return float(self._suite.restart_workers([str(program) for program in programs]))


def factory(suite: Any, **_: Any) -> Interface:
    """As supervisor wants it for a section [rpcinterface:x]."""
    return Interface(suite)
