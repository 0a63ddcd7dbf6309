"""supervisord's options: where it finds its files, how it logs, which signals it takes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from supervisor.options import ProcessConfig, ServerOptions, SignalReceiver

from warren.errors import ConfigError, Origin, Problem, WarrenError
from warren.regular_file import clear_place, remove_any
from warren.supervise import rpc
from warren.supervise.accepted import NAME
from warren.supervise.process import DaemonConfig
from warren.supervise.records import RecordLogger
from warren.supervise.wake import Waker

#: What a reading of the files leaves behind and a running supervisord uses.
_READ = ("process_group_configs", "server_configs", "pidfile", "loglevel")


class Options(ServerOptions):
    """Options read from `configfile` with `expansions` for its words %(warren_...)s.

    `programs` is the folder of the rendered programs. Raises ConfigError where supervisord would print its usage.
    """

    first = True
    test = False

    def __init__(self, configfile: Path, expansions: Mapping[str, str], programs: Path) -> None:
        super().__init__()
        self.programs = programs
        self.accepted = programs.with_name(NAME)
        self.own_signals = SignalReceiver()
        self._realized = False
        self.expand(expansions)
        self.realize(["-c", str(configfile), "-n"], doc="", progname="warren supervise")
        self._realized = True
        self.keep()

    def expand(self, expansions: Mapping[str, str]) -> None:
        """Sets the meaning of the words; from the next reading on."""
        self.environ_expansions.update(expansions)

    def keep(self) -> None:
        """What was read just now is what the settings say, until the next reload."""
        self._kept = {name: getattr(self, name) for name in _READ}

    def take_back(self) -> None:
        """Forgets what somebody had supervisord read by its socket (reloadConfig): the files may be anybody's by then."""
        for name, value in self._kept.items():
            setattr(self, name, value)

    @property
    def groups(self) -> dict[str, Any]:
        """The groups of programs that the settings say, by name."""
        return {group.name: group for group in self._kept["process_group_configs"]}

    def usage(self, msg: Any) -> NoReturn:
        if self._realized:
            raise WarrenError(f"supervisord cannot start with {self.configfile}: {msg}")
        raise unreadable(self.configfile, msg)

    def set_uid_or_exit(self) -> None:
        if self.uid is not None:  # else it stays who it is, and that is no reason for a warning
            super().set_uid_or_exit()

    def make_logger(self) -> None:
        self.logger = RecordLogger(self.loglevel)
        for message in self.parse_criticals:
            self.logger.critical(message)
        for message in self.parse_warnings:
            self.logger.warn(message)
        for message in self.parse_infos:
            self.logger.debug(message)

    def openhttpservers(self, supervisord: Any) -> None:
        # The lock on the run folder is ours: a socket that is there belongs to a supervisord that was killed.
        for config in self.server_configs:
            if "file" in config and os.path.dirname(config["file"]) == os.path.dirname(self.programs):
                remove_any(Path(config["file"]))  # or whatever a task has put there
        others = [each for each in self.rpcinterface_factories or () if each[0] != rpc.NAMESPACE]
        self.rpcinterface_factories: list[Any] = [*others, (rpc.NAMESPACE, rpc.factory, {})]
        super().openhttpservers(supervisord)

    def write_pidfile(self) -> None:
        with suppress(OSError):  # which supervisord says, too
            clear_place(self.pidfile)  # a fifo in its place would be waited for
        super().write_pidfile()

    def setsignals(self) -> None:
        super().setsignals()
        for number in (signal.SIGHUP, signal.SIGUSR1):  # supervisord would stop every program on SIGHUP
            signal.signal(number, self.own_signals.receive)
        Waker()

    def processes_from_section(self, parser: Any, section: str, group_name: str, klass: Any = None) -> Any:
        source = Path(parser.section_to_file.get(section, ""))
        if klass is ProcessConfig and source.parent == self.programs:
            klass = DaemonConfig
        return super().processes_from_section(parser, section, group_name, klass)


def unreadable(configfile: object, found: object) -> ConfigError:
    """What is wrong in supervisor's own files, or in those that an operator added."""
    origin = Origin(Path(str(configfile)))
    remedy = "correct the file, or one in supervisor.d"
    told = " ".join(str(found).replace("\\n'", "'").split())  # several lines, one of them quoted with its end
    return ConfigError([Problem(origin, "", "", "a file that supervisor can read", told, remedy)])
