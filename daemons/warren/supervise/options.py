"""supervisord's options: where it finds its files, how it logs, which signals it handles."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from supervisor.options import ProcessConfig, ServerOptions, SignalReceiver

from warren.config.accepted_settings import NAME
from warren.errors import ConfigError, Origin, Problem, WarrenError
from warren.supervise import rpc_interface
from warren.supervise.daemon_process import DaemonConfig
from warren.supervise.log_bridge import RecordLogger
from warren.supervise.wakeup import Waker
from warren.system.regular_file import clear_path, remove_any

#: The attributes that a reading of the files sets and that a running supervisord uses.
_READ = ("process_group_configs", "server_configs", "pidfile", "loglevel")


class Options(ServerOptions):
    """Options that are read from `configfile`.

    expansions: values of the variables %(warren_...)s. programs: the directory of the rendered
    programs. Raises ConfigError when supervisord would print its usage.
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
        """Set the values of the variables, for the next reading."""
        self.environ_expansions.update(expansions)

    def keep(self) -> None:
        """Keep what was just read as the content of the settings, until the next reload."""
        self._kept = {name: getattr(self, name) for name in _READ}

    def restore(self) -> None:
        """Forget what supervisord has read because a client asked it to (reloadConfig).

        Anybody may have written the files by then.
        """
        for name, value in self._kept.items():
            setattr(self, name, value)

    @property
    def groups(self) -> dict[str, Any]:
        """Return the groups of programs in the settings, by name."""
        return {group.name: group for group in self._kept["process_group_configs"]}

    def usage(self, msg: Any) -> NoReturn:
        if self._realized:
            raise WarrenError(f"supervisord cannot start with {self.configfile}: {msg}")
        raise unreadable(self.configfile, msg)

    def set_uid_or_exit(self) -> None:
        # Otherwise the user stays the same, and that is no reason for a warning.
        if self.uid is not None:
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
        # We hold the lock on the run directory, so an existing socket belongs to a killed
        # supervisord.
        for config in self.server_configs:
            if "file" in config and os.path.dirname(config["file"]) == os.path.dirname(
                self.programs
            ):
                remove_any(Path(config["file"]))  # also anything that a task has put there
        others = [
            each for each in self.rpcinterface_factories or () if each[0] != rpc_interface.NAMESPACE
        ]
        self.rpcinterface_factories: list[Any] = [
            *others,
            (rpc_interface.NAMESPACE, rpc_interface.factory, {}),
        ]
        super().openhttpservers(supervisord)

    def write_pidfile(self) -> None:
        with suppress(OSError):  # supervisord reports the same error below
            clear_path(self.pidfile)  # the open of a fifo under this path would block
        super().write_pidfile()

    def setsignals(self) -> None:
        super().setsignals()
        # supervisord would stop every program on SIGHUP.
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self.own_signals.receive)
        Waker()

    def processes_from_section(
        self, parser: Any, section: str, group_name: str, klass: Any = None
    ) -> Any:
        source = Path(parser.section_to_file.get(section, ""))
        if klass is ProcessConfig and source.parent == self.programs:
            klass = DaemonConfig
        return super().processes_from_section(parser, section, group_name, klass)


def unreadable(configfile: object, found: object) -> ConfigError:
    """Return the error in supervisor's own files, or in the files that an operator added."""
    origin = Origin(Path(str(configfile)))
    remedy = "correct the file, or a file in supervisor.d"
    # The message has several lines; a quoted line contains its line end.
    text = " ".join(str(found).replace("\\n'", "'").split())
    return ConfigError([Problem(origin, "", "", "a file that supervisor can read", text, remedy)])
