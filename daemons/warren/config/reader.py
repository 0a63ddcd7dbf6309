"""The reader of the INI files of one host. It remembers the file and the line of every value.

`configparser` stops at the first duplicate and at the first missing header. This reader collects
both, with all other problems, through the two hooks that `configparser` documents: `optionxform`,
which is called once for each option line, and SECTCRE.
"""

from __future__ import annotations

import configparser
import errno
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from warren.config.access_remedies import who_may
from warren.config.units import shown
from warren.errors import Origin, Problem

#: The directory of the INI files.
DEFAULT_DIRECTORY = Path("/etc/warren")
#: The remedy for a missing conffile. dpkg does not restore a removed conffile by itself, because
#: the removal counts as the operator's decision.
_BRING_BACK = (
    "write it, or restore the package's file: apt install --reinstall -o "
    "Dpkg::Options::=--force-confmiss warren"
)
#: The section of the lines before the first header. No file can name it: a NUL is refused.
_NOWHERE = "\0"
_HEADER = re.compile(r"\[(?P<header>[^\]]+)\](?P<rest>.*)")
_LINE = "a [section] or an option = value line"


@dataclass(frozen=True)
class Value:
    """The text of one option, with the place where it was written."""

    text: str
    origin: Origin


@dataclass
class Ini:
    """The merged content of the files of one host.

    When two files set an option, the later file wins.
    """

    files: list[Path] = field(default_factory=list)
    texts: dict[Path, bytes] = field(default_factory=dict)  # the content of each file
    sections: dict[str, dict[str, Value]] = field(default_factory=dict)
    headers: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True  # False when a file could not be read, which may hold what seems missing


def read(directory: Path, host: str) -> Ini:
    """Read warren.ini, then conf.d/*.ini by name, then hosts/HOST.ini.

    Raises nothing: problems are in the result.
    """
    ini = Ini()
    # os.path.isdir() returns False for a directory that cannot be examined; Path.is_dir() does not.
    if not os.path.isdir(directory):
        found = "something else" if os.path.exists(directory) else "nothing there"
        remedy = (
            "name it with --config or WARREN_CONFIG"
            if directory != DEFAULT_DIRECTORY
            else _BRING_BACK
        )
        _refuse(ini, directory, "a directory with the file warren.ini", found, remedy)
        return ini
    # One problem for the directory, instead of one for each file in it.
    if not os.access(directory, os.R_OK | os.X_OK):
        _refuse(
            ini,
            directory,
            "a directory that can be read",
            os.strerror(errno.EACCES),
            who_may(directory),
        )
        return ini
    _read_file(ini, directory / "warren.ini", required=True)
    for path in _fragments(ini, directory / "conf.d"):
        _read_file(ini, path, required=True)
    _read_file(ini, directory / "hosts" / f"{host}.ini", required=False)
    return ini


def read_again(texts: Mapping[Path, bytes]) -> Ini:
    """Parse the texts of an earlier reading in the same order. Raises nothing, like `read`."""
    ini = Ini()
    for path, data in texts.items():
        _take(ini, path, data)
    return ini


def parse(text: str, file: Path, ini: Ini) -> None:
    """Add the content of one file to `ini`; later files win."""
    parser = _Parser(file)
    try:
        parser.read_file(parser.lines(text))
    except configparser.ParsingError as error:
        # Only the number of an error is used. The text differs: up to Python 3.12 it is the quoted
        # line, from 3.13 on the line itself. The number is one too high, because the parser's first
        # line is an artificial header.
        for number, _ in error.errors:
            origin, found = Origin(file, number - 1), shown(parser.texts[number - 1].strip())
            parser.problems.append(
                Problem(origin, "", "", _LINE, found, "indent the lines that continue a value")
            )
    ini.problems.extend(parser.problems)
    for section in filter(parser.header_lines.get, parser.sections()):
        ini.headers[section] = Origin(file, parser.header_lines[section])
        merged = ini.sections.setdefault(section, {})
        for option, value in parser.items(section):
            if option:
                merged[option] = Value(
                    value.strip(), Origin(file, parser.option_lines[section, option])
                )


class _Parser(configparser.RawConfigParser):
    """A parser that counts lines and records the line of each header and of each option."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            delimiters=("=",),
            strict=False,
            interpolation=None,
            empty_lines_in_values=False,
            default_section="",
        )
        # configparser calls SECTCRE.match() for each line that could be a header.
        self.SECTCRE = self  # type: ignore[assignment]
        self.file = file
        self.line = 0
        self.texts: list[str] = []  # every line that was read so far, in order
        self.section = ""
        self.header_lines: dict[str, int] = {}
        self.option_lines: dict[tuple[str, str], int] = {}
        self.problems: list[Problem] = []

    def lines(self, text: str) -> Iterator[str]:
        """Yield and count the lines of the text.

        The first yielded line is an artificial header, for lines before the file's first header.
        """
        for self.line, line in enumerate((f"[{_NOWHERE}]\n", *io.StringIO(text, newline=None))):
            self.texts.append(line)
            yield line

    def match(self, line: str) -> re.Match[str] | None:
        """Match a header; configparser calls this for lines that begin a section or an option."""
        found = _HEADER.match(line)
        if not found:
            return None
        self.section = found["header"]
        if found["rest"]:
            self._problem("", "a [section] alone on its line", repr(line), "")
        if self.section in self.header_lines:
            before = f"[{self.section}] again, after line {self.header_lines[self.section]}"
            self._problem("", "each section once in a file", before, "put its options together")
        self.header_lines.setdefault(self.section, self.line)
        return found

    def optionxform(self, optionstr: str) -> str:
        """Return the option's name in lower case; configparser calls this once per option line."""
        option = optionstr.lower()
        if not option:  # a line such as "= value", which configparser itself reports
            return option
        if self.section == _NOWHERE and (_NOWHERE, "") not in self.option_lines:
            self._problem("", "a [section] before the first option", repr(option), "")
            # One problem is enough: all options before the first header have the same cause.
            self.option_lines[_NOWHERE, ""] = self.line
        elif (self.section, option) in self.option_lines:
            before = f"it again, after line {self.option_lines[self.section, option]}"
            self._problem(option, "each option once in a section", before, "remove one of the two")
        self.option_lines[self.section, option] = self.line
        return option

    def _problem(self, option: str, expected: str, found: str, remedy: str) -> None:
        section = self.section if option else ""
        self.problems.append(
            Problem(Origin(self.file, self.line), section, option, expected, found, remedy)
        )


def _fragments(ini: Ini, directory: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        _refuse(
            ini,
            directory,
            "a directory that can be read",
            error.strerror or str(error),
            who_may(directory),
        )
        return []
    return [
        directory / name for name in names if name.endswith(".ini") and not name.startswith(".")
    ]


def _read_file(ini: Ini, path: Path, *, required: bool) -> None:
    try:
        if path.is_fifo():
            raise OSError(0, "a pipe")  # a read would wait for a writer without end
        data = path.read_bytes()
    except FileNotFoundError as error:
        if required or path.is_symlink():
            remedy = _BRING_BACK if path == DEFAULT_DIRECTORY / "warren.ini" else ""
            _refuse(ini, path, "a file that can be read", error.strerror or str(error), remedy)
        return
    except OSError as error:
        _refuse(ini, path, "a file that can be read", error.strerror or str(error), who_may(path))
        return
    _take(ini, path, data)


def _take(ini: Ini, path: Path, data: bytes) -> None:
    ini.files.append(path)
    ini.texts[path] = data
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        found = f"the byte 0x{error.object[error.start]:02x}"
        _refuse(ini, path, "text in UTF-8", found, "save the file as UTF-8", line=_line_at(before))
        return
    if "\0" in text:
        _refuse(ini, path, "text", "a NUL character", line=_line_at(text[: text.index("\0")]))
        return
    parse(text, path, ini)


def _refuse(
    ini: Ini, path: Path, expected: str, found: str, remedy: str = "", line: int | None = None
) -> None:
    ini.complete = False
    ini.problems.append(Problem(Origin(path, line), "", "", expected, found, remedy))


def _line_at(before: str) -> int:
    return sum(1 for _ in io.StringIO(before + ".", newline=None))
