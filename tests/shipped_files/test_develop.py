"""docs/develop.md and the picture of the arrow name what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from unit.test_rooms import ROOMS

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "daemons" / "warren"
TEXT = (ROOT / "docs" / "develop.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def arrow() -> ModuleType:
    """scripts/arrow.py as a module."""
    spec = importlib.util.spec_from_file_location("arrow", ROOT / "scripts" / "arrow.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def missing(named: list[str]) -> list[str]:
    """Return those that are no path from the root, nor from the house. A page names many."""
    assert len(named) > 40
    return [name for name in named if not (ROOT / name).exists() and not (HOUSE / name).exists()]


def test_each_file_of_the_text_is_there() -> None:
    """A reader who looks for a file that the page names finds it."""
    assert missing(re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", TEXT)) == []


def test_each_file_of_the_design_is_there() -> None:
    """docs/design.md names a file by its path from the house, or from the root."""
    assert (
        missing(
            re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "design.md").read_text(encoding="utf-8"))
        )
        == []
    )


def test_each_file_that_the_code_names_is_there() -> None:
    """A comment or docstring that sends its reader to another file names one that exists."""
    files = [*HOUSE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    there = {part for file in files for part in (file.name, file.relative_to(ROOT).as_posix())}
    there |= {f"{file.parent.name}/{file.name}" for file in files}
    named = {
        file: re.findall(
            r"(?<![\w./-])[a-z_]+(?:/[a-z_]+)*\.py\b", file.read_text(encoding="utf-8")
        )
        for file in files
    }
    lost = {(str(file.relative_to(ROOT)), name) for file, names in named.items() for name in names}
    assert {
        (file, name) for file, name in lost if name not in there and not (HOUSE / name).exists()
    } == set()


def test_each_file_of_the_map_is_in_its_room() -> None:
    """A row names files of its own room alone, and there is a row for each room."""
    rows = dict(re.findall(r"^\| `([\w./]+)` \| (.*) \|$", TEXT, re.MULTILINE))
    assert [room.rstrip("/").removesuffix(".py") for room in rows] == [
        room for room in ROOMS if room != "__main__"
    ]
    for room, row in rows.items():
        assert [
            name
            for name in re.findall(r"`(\w+(?:\.py|/))`", row)
            if not (HOUSE / room / name).exists()
        ] == [], room


def test_the_picture_shows_the_order_that_the_test_of_rooms_asserts(arrow: ModuleType) -> None:
    """Its text lists the rooms in that order."""
    rows = arrow.rows((ROOT / "docs" / "arrow.txt").read_text(encoding="utf-8"))
    assert [room for row in rows for room in row] == [room for room in ROOMS if room != "__main__"]


def test_the_picture_is_drawn_from_its_text(arrow: ModuleType) -> None:
    """Nobody edits the SVG by hand, and nobody forgets to draw it again."""
    text = (ROOT / "docs" / "arrow.txt").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "arrow.svg").read_text(encoding="utf-8") == arrow.picture(
        arrow.rows(text)
    )
