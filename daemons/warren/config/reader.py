"""Reads the INI files of one host and remembers the file and line of every value.

`configparser` stops at the first duplicate and the first missing header; here both are collected with everything else
that is wrong, through the two hooks that it documents: `optionxform`, called once for each option line, and SECTCRE.
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

from warren.config.access import who_may
from warren.config.units import shown
from warren.errors import Origin, Problem

#: Where the INI files are.
DEFAULT_FOLDER = Path("/etc/warren")
#: dpkg takes a conffile that was removed for the operator's wish.
_BRING_BACK = "write it, or have the package's back: apt install --reinstall -o Dpkg::Options::=--force-confmiss warren"
#: Section of what stands before the first header; no text can name it, because a NUL is refused before.
_NOWHERE = "\0"
_HEADER = re.compile(r"\[(?P<header>[^\]]+)\](?P<rest>.*)")
_LINE = "a [section] or an option = value line"


@dataclass(frozen=True)
class Value:
    """The text of one option and where it stands."""

    text: str
    origin: Origin


@dataclass
class Ini:
    """What the files of one host say together; of an option written twice, the later file's value."""

    files: list[Path] = field(default_factory=list)
    texts: dict[Path, bytes] = field(default_factory=dict)  # what stood in each
    sections: dict[str, dict[str, Value]] = field(default_factory=dict)
    headers: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True  # False once a whole file could not be read: what seems missing may stand there


def read(folder: Path, host: str) -> Ini:
    """Reads warren.ini, conf.d/*.ini by name, hosts/HOST.ini. Raises nothing: problems are in the result."""
    ini = Ini()
    if not os.path.isdir(folder):  # unlike Path.is_dir() it takes a folder that may not be looked at for none
        found = "something else" if os.path.exists(folder) else "nothing there"
        remedy = "name it with --config or WARREN_CONFIG" if folder != DEFAULT_FOLDER else _BRING_BACK
        _refuse(ini, folder, "a folder with the file warren.ini", found, remedy)
        return ini
    if not os.access(folder, os.R_OK | os.X_OK):  # once, and not for each file in it
        _refuse(ini, folder, "a folder that can be read", os.strerror(errno.EACCES), who_may(folder))
        return ini
    _read_file(ini, folder / "warren.ini", required=True)
    for path in _fragments(ini, folder / "conf.d"):
        _read_file(ini, path, required=True)
    _read_file(ini, folder / "hosts" / f"{host}.ini", required=False)
    return ini


def read_again(texts: Mapping[Path, bytes]) -> Ini:
    """Reads what the files held at an earlier reading, in their order. Raises nothing, as `read`."""
    ini = Ini()
    for path, data in texts.items():
        _take(ini, path, data)
    return ini


def parse(text: str, file: Path, ini: Ini) -> None:
    """Adds what the text of one file says to `ini`; later files win."""
    parser = _Parser(file)
    try:
        parser.read_file(parser.lines(text))
    except configparser.ParsingError as error:
        # Of an error the number alone counts: up to Python 3.12 its text is the line quoted, from 3.13 on the line itself.
        for number, _ in error.errors:  # one more than ours: the parser was given a header of its own first
            origin, found = Origin(file, number - 1), shown(parser.texts[number - 1].strip())
            parser.problems.append(Problem(origin, "", "", _LINE, found, "indent what continues a value"))
    ini.problems.extend(parser.problems)
    for section in filter(parser.header_lines.get, parser.sections()):
        ini.headers[section] = Origin(file, parser.header_lines[section])
        merged = ini.sections.setdefault(section, {})
        for option, value in parser.items(section):
            if option:
                merged[option] = Value(value.strip(), Origin(file, parser.option_lines[section, option]))


class _Parser(configparser.RawConfigParser):
    """Counts lines as they are read and notes at which one each header and option stands."""

    def __init__(self, file: Path) -> None:
        super().__init__(delimiters=("=",), strict=False, interpolation=None, empty_lines_in_values=False, default_section="")
        self.SECTCRE = self  # type: ignore[assignment] # asked for match() on each line that could be a header
        self.file = file
        self.line = 0
        self.texts: list[str] = []  # each line read so far, by its number
        self.section = ""
        self.header_lines: dict[str, int] = {}
        self.option_lines: dict[tuple[str, str], int] = {}
        self.problems: list[Problem] = []

    def lines(self, text: str) -> Iterator[str]:
        """The lines of the text, counted, behind a header for what stands before the first one."""
        for self.line, line in enumerate((f"[{_NOWHERE}]\n", *io.StringIO(text, newline=None))):
            self.texts.append(line)
            yield line

    def match(self, line: str) -> re.Match[str] | None:
        """Called by configparser on every line that begins a section or an option."""
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
        """Called by configparser once for each option line."""
        option = optionstr.lower()
        if not option:  # "= value": configparser reports that line itself
            return option
        if self.section == _NOWHERE and (_NOWHERE, "") not in self.option_lines:
            self._problem("", "a [section] before the first option", repr(option), "")
            self.option_lines[_NOWHERE, ""] = self.line  # once is enough: all up to the first header belong to it
        elif (self.section, option) in self.option_lines:
            before = f"it again, after line {self.option_lines[self.section, option]}"
            self._problem(option, "each option once in a section", before, "remove one of the two")
        self.option_lines[self.section, option] = self.line
        return option

    def _problem(self, option: str, expected: str, found: str, remedy: str) -> None:
        section = self.section if option else ""
        self.problems.append(Problem(Origin(self.file, self.line), section, option, expected, found, remedy))


def _fragments(ini: Ini, folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        _refuse(ini, folder, "a folder that can be read", error.strerror or str(error), who_may(folder))
        return []
    return [folder / name for name in names if name.endswith(".ini") and not name.startswith(".")]


def _read_file(ini: Ini, path: Path, *, required: bool) -> None:
    try:
        if path.is_fifo():
            raise OSError(0, "a pipe")  # its writer would be waited for, for ever
        data = path.read_bytes()
    except FileNotFoundError as error:
        if required or path.is_symlink():
            remedy = _BRING_BACK if path == DEFAULT_FOLDER / "warren.ini" else ""
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


def _refuse(ini: Ini, path: Path, expected: str, found: str, remedy: str = "", line: int | None = None) -> None:
    ini.complete = False
    ini.problems.append(Problem(Origin(path, line), "", "", expected, found, remedy))


def _line_at(before: str) -> int:
    return sum(1 for _ in io.StringIO(before + ".", newline=None))
