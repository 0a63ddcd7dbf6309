"""etc/warren/supervisord.conf is the default of `warren supervise`.

It counts where the settings directory has none.
"""

from __future__ import annotations

from pathlib import Path

from warren.supervise.programs.render import MAIN

SHIPPED = Path(__file__).parents[2] / "etc" / "warren" / "supervisord.conf"


def test_the_shipped_file_is_the_built_in_one() -> None:
    """An operator who edits the shipped file begins with what runs without it."""
    assert SHIPPED.read_text(encoding="utf-8") == MAIN
