"""docs/events.md says what events.py says."""

from __future__ import annotations

import re
from pathlib import Path

from warren.events import Event

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"


def test_every_event_is_documented_as_it_is_declared() -> None:
    """An operator finds each event of a log in the document, with its meaning, and none that does not exist."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(event.value, event.meaning) for event in Event]
