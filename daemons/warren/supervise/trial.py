"""A reading of supervisord's files before a start, which is what makes the suite's folders."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warren.supervise.options import Options


class Trial(Options):
    """As Options, but each folder in `moved`, where a path names it, is read as the one that stands in for it.

    Supervisor refuses a file whose folder is not there, such as a pid file below a run folder that went with the last stop.
    """

    def __init__(self, configfile: Path, expansions: Mapping[str, str], programs: Path, moved: Mapping[Path, Path]) -> None:
        self._moved = {re.compile(rf"(?<![\w./-]){re.escape(str(one))}(?![\w.-])"): str(other) for one, other in moved.items()}
        super().__init__(configfile, expansions, programs)

    def read_config(self, fp: Any) -> Any:
        try:
            with self.open(fp, "r") as file:
                text = io.StringIO(self._elsewhere(file.read()))
        except OSError as error:
            raise ValueError(f"could not read config file {fp}: {error.strerror}") from error
        text.name = str(fp)  # what it includes is looked for beside it
        return super().read_config(text)

    def processes_from_section(self, parser: Any, section: str, group_name: str, klass: Any = None) -> Any:
        for option, value in parser.items(section):
            parser.set(section, option, self._elsewhere(value))
        return super().processes_from_section(parser, section, group_name, klass)

    def _elsewhere(self, text: str) -> str:
        for pattern, other in self._moved.items():
            text = pattern.sub(lambda _, other=other: other, text)  # type: ignore[misc]
        return text
