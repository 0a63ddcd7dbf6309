"""The reader: which line each value stands on, and everything that is wrong with a file at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.config.reader import Ini, parse, read

FILE = Path("warren.ini")
WORDS = st.text(alphabet="abcdefgh_", min_size=1, max_size=8)
VALUES = st.lists(
    st.text(alphabet="xyz =:[]%$\u00fc", max_size=10).map(lambda text: "v" + text.strip()),
    min_size=1,
    max_size=3,
)
NOISE = st.lists(st.sampled_from(["", "   ", "# a = b", "; [c]", "  # d", "\t"]), max_size=3)


def read_text(text: str) -> Ini:
    """What one file of this text gives."""
    ini = Ini()
    parse(text, FILE, ini)
    return ini


def lines_of(ini: Ini) -> list[tuple[int | None, str]]:
    """Line and what was found, of each problem."""
    return [(problem.origin.line, problem.found) for problem in ini.problems]


@given(
    st.dictionaries(
        WORDS, st.dictionaries(WORDS, st.tuples(NOISE, VALUES), max_size=4), max_size=4
    ),
    NOISE,
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_lines_are_right(
    sections: dict[str, dict[str, tuple[list[str], list[str]]]], noise: list[str], end: str
) -> None:
    """Each value has its own line and its whole text, whatever stands between.

    Comments, blank lines and line ends may stand there.
    """
    lines, wanted = list(noise), {}
    for section, options in sections.items():
        lines.append(f"[{section}]")
        wanted[section, ""] = ("", len(lines))
        for option, (before, value) in options.items():
            lines += before
            lines += [f"{option} = {value[0]}", *(f"    {more}" for more in value[1:])]
            wanted[section, option] = ("\n".join(value), len(lines) - len(value) + 1)
        lines += noise
    ini = read_text(end.join(lines))
    assert ini.problems == []
    found = {(section, ""): ("", origin.line) for section, origin in ini.headers.items()}
    for section, values in ini.sections.items():
        found |= {
            (section, option): (value.text, value.origin.line) for option, value in values.items()
        }
    assert found == wanted


def test_all_problems_of_a_file_at_once() -> None:
    """Options before a header, duplicates and other lines are reported with their line."""
    ini = read_text(
        "early = 1\nalso = 2\n\n[app]\nname = a\nname = b\n"
        "no delimiter\n[app]\n[]\n= nameless\n[log] level = info\nlevel = debug\n"
    )
    assert sorted(lines_of(ini), key=lambda each: each[0] or 0) == [
        (1, "'early'"),
        (6, "it again, after line 5"),
        (7, "'no delimiter'"),
        (8, "[app] again, after line 4"),
        (9, "'[]'"),
        (10, "'= nameless'"),
        (11, "'[log] level = info'"),
    ]


def test_empty_line_ends_a_value() -> None:
    """Behind an empty line an indented option is an option, no continuation of the value above."""
    ini = read_text("[app]\nname = a\n\n  timezone = UTC\n")
    assert {option: value.text for option, value in ini.sections["app"].items()} == {
        "name": "a",
        "timezone": "UTC",
    }


def test_password_in_a_stray_line_is_not_shown() -> None:
    """A line that is no option is quoted without the password that stands in it."""
    ini = read_text("[broker]\nurl =\namqp://warren:hush@rabbit/v\n")
    assert lines_of(ini) == [(3, "'amqp://warren:***@rabbit/v'")]


@pytest.mark.parametrize(
    "line", ["'quoted'", '"""', "1 +", "\\", "b'x'", "[", "\u00fc\u2028", "None"]
)
def test_a_stray_line_is_quoted_as_it_stands(line: str) -> None:
    """A line that is no option is reported as that line, on every version of Python."""
    assert lines_of(read_text(f"[app]\n{line}\n")) == [(2, repr(line.strip()))]


def test_section_default_is_like_any_other() -> None:
    """[DEFAULT] has no magic: its options do not seep into other sections."""
    ini = read_text("[DEFAULT]\nlevel = debug\n[log]\n")
    assert ini.sections["log"] == {}
    assert set(ini.sections) == {"DEFAULT", "log"}


def test_percent_and_dollar_are_text() -> None:
    """Nothing is interpolated: a percent-encoded password stays as written."""
    assert (
        read_text("[broker]\nurl = amqp://u:p%40x$y@h\n").sections["broker"]["url"].text
        == "amqp://u:p%40x$y@h"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a directory, a pipe, bad UTF-8 and a NUL are each located."""
    (tmp_path / "conf.d" / "directory.ini").mkdir(parents=True)
    (tmp_path / "conf.d" / "gone.ini").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "conf.d" / "pipe.ini")
    (tmp_path / "conf.d" / "latin.ini").write_bytes(b"[app]\r\n# fine\r\nname = gr\xfcn\r\n")
    (tmp_path / "conf.d" / "nul.ini").write_bytes(b"[app]\nname = a\0b\n")
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "here.ini").symlink_to(tmp_path / "nowhere")
    ini = read(tmp_path, "here")
    places = {
        (
            str(problem.origin.file and problem.origin.file.relative_to(tmp_path)),
            problem.origin.line,
        )
        for problem in ini.problems
    }
    assert places == {
        ("warren.ini", None),
        ("conf.d/directory.ini", None),
        ("conf.d/gone.ini", None),
        ("conf.d/pipe.ini", None),
        ("conf.d/latin.ini", 3),
        ("conf.d/nul.ini", 2),
        ("hosts/here.ini", None),
    }
    assert not ini.complete


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark, as some editors write, is no part of the first header."""
    (tmp_path / "warren.ini").write_bytes(b"\xef\xbb\xbf[app]\nname = a\n")
    ini = read(tmp_path, "here")
    assert ini.problems == []
    assert ini.sections["app"]["name"].text == "a"


def test_missing_directory(tmp_path: Path) -> None:
    """A configuration directory that is missing, or is a file, is one problem.

    It says how to name another directory.
    """
    (tmp_path / "file").touch()
    for directory, found in (
        (tmp_path / "none", "nothing there"),
        (tmp_path / "file", "something else"),
    ):
        (problem,) = read(directory, "here").problems
        assert problem.found == found
        assert "--config" in problem.remedy


@pytest.mark.parametrize("left", [False, True])
def test_a_removed_default_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    """dpkg does not bring back what was removed in /etc/warren: the message says how.

    Of another directory it knows nothing.
    """
    default, other = tmp_path / "default", tmp_path / "other"
    monkeypatch.setattr("warren.config.reader.DEFAULT_DIRECTORY", default)
    if left:
        default.mkdir()
        other.mkdir()
    (problem,) = read(default, "here").problems
    assert problem.remedy.endswith(
        "apt install --reinstall -o Dpkg::Options::=--force-confmiss warren"
    )
    (problem,) = read(other, "here").problems
    assert "apt" not in problem.remedy
