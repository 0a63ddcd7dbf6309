"""The licence is said in four places, and alike."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = "BSD-3-Clause"


def arguments(text: str) -> list[str]:
    """Return the words of a text, however its lines are broken and indented.

    Debian writes a dot on an empty line.
    """
    return re.sub(r"^ \.$", "", text, flags=re.MULTILINE).split()


def test_every_place_names_the_same_licence_and_authors() -> None:
    """LICENSE, debian/copyright with its whole text, setup.py, and the README's last section."""
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    title, owner, terms = text.split("\n\n", 2)
    assert title == "BSD 3-Clause License"
    assert owner == "Copyright (c) 2026, the Warren authors"
    debian = (ROOT / "debian" / "copyright").read_text(encoding="utf-8")
    assert "Copyright: 2026 the Warren authors\n" in debian
    assert arguments(debian.rpartition(f"License: {NAME}\n")[2]) == arguments(terms)
    last = (ROOT / "README.md").read_text(encoding="utf-8").rpartition("\n## ")[2]
    assert last.startswith("Licence\n")
    assert NAME in last
    assert "(LICENSE)" in last


def test_the_package_says_so_to_who_installs_it() -> None:
    """The metadata has the licence under its usual name.

    pip and tools that list licences read it there.
    """
    found = metadata("warren")
    assert found["License-Expression" if "License-Expression" in found else "License"] == NAME
