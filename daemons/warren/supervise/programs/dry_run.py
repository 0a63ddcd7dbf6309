"""A trial reading of supervisord's files before a start has made the suite's directories."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warren.supervise.options import Options


class DryRun(Options):
    """Options in which every path to a directory of `moved` leads to its substitute.

    Supervisor refuses a file whose directory does not exist, such as a pid file in a run directory
    that was removed with the last stop.
    """

    def __init__(
        self,
        configfile: Path,
        expansions: Mapping[str, str],
        programs: Path,
        moved: Mapping[Path, Path],
    ) -> None:
        self._moved = {
            re.compile(rf"(?<![\w./-]){re.escape(str(directory))}(?![\w.-])"): str(substitute)
            for directory, substitute in moved.items()
        }
        super().__init__(configfile, expansions, programs)

    def read_config(self, fp: Any) -> Any:
        try:
            with self.open(fp, "r") as file:
                text = io.StringIO(self._elsewhere(file.read()))
        except OSError as error:
            raise ValueError(f"could not read config file {fp}: {error.strerror}") from error
        text.name = str(fp)  # supervisor looks for included files beside this path
        return super().read_config(text)

    def processes_from_section(
        self, parser: Any, section: str, group_name: str, klass: Any = None
    ) -> Any:
        for option, value in parser.items(section):
            parser.set(section, option, self._elsewhere(value))
        return super().processes_from_section(parser, section, group_name, klass)

    def _elsewhere(self, text: str) -> str:
        for pattern, other in self._moved.items():
            text = pattern.sub(lambda _, other=other: other, text)  # type: ignore[misc]
        return text
