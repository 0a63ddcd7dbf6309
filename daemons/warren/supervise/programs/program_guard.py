"""The guard that keeps supervisord's programs as the settings name them.

Any process of the suite's user may stop, remove and add programs over supervisord's socket. But the
settings decide what runs. To keep a program down, an operator disables it there (`enabled = false`,
then a reload) or stops the suite: both need root, and no task is root.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from supervisor.states import RUNNING_STATES, ProcessStates

from warren.logs.events import Event
from warren.logs.setup import logger

#: Seconds that a program stays stopped, so that a client that asked for this gets its answer.
_SEEN = 1.0


class Groups:
    """Compares supervisord's groups with the groups that the last start or reload has read."""

    def __init__(self, suite: Any) -> None:
        self._suite = suite
        self._foreign: set[str] = set()  # names that are in the log already and still exist

    def step(self, meant: Mapping[str, Any], busy: Collection[str]) -> None:
        """Compare once; called in each tick of supervisord's loop.

        `busy` are the groups that a reload is changing now.
        """
        groups = self._suite.process_groups
        for name, group in list(groups.items()):
            if name not in busy and not _same(group.config, meant.get(name)):
                self._remove(name, group)
        for name, config in meant.items():
            if name not in groups and name not in busy:
                self._suite.add_process_group(config)
                _restored(name, "removed")
        for process in self._suite.daemons():
            # Only a stop that a client asked for over the socket is administrative. A program that
            # stops in order to start again is none.
            stopped = process.administrative_stop and process.state == ProcessStates.STOPPED
            if stopped and process.age >= _SEEN and _name(process) not in busy:
                process.spawn()
                _restored(process.config.name, "stopped")

    def _remove(self, name: str, group: Any) -> None:
        if name not in self._foreign:
            self._foreign.add(name)
            commands = [str(process.config.command) for process in group.processes.values()]
            logger().error(Event.PROGRAM_REMOVED, program=name, commands=commands)
        for process in group.processes.values():
            _end(process)
        if not group.get_unstopped_processes() and self._suite.remove_process_group(name):
            self._foreign.discard(name)


def _same(config: Any, meant: Any) -> bool:
    """Return whether a group is the expected one: equal names, commands, environments, types."""
    return meant is not None and config == meant and _kinds(config) == _kinds(meant)


def _kinds(config: Any) -> list[type]:
    return [type(config), *map(type, config.process_configs)]


def _end(process: Any) -> None:
    """Kill a program that must not run at once, however its section says to stop it."""
    if process.state in RUNNING_STATES:
        process.stop()
    if process.pid:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _name(process: Any) -> str:
    return str(process.group.config.name)


def _restored(program: str, found: str) -> None:
    logger().warning(Event.PROGRAM_RESTORED, program=program, found=found)
