"""docs/events.md says what events.py says, and events.py what is logged."""

from __future__ import annotations

import re
from pathlib import Path

from warren.logs.events import Event

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "events.md"


def test_every_event_is_documented_as_it_is_declared() -> None:
    """The document has each event of the log, with its meaning, and no other."""
    rows = re.findall(
        r"^\| `(\w+)` \| (.+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert rows == [(event.value, event.meaning) for event in Event]


def test_every_event_is_logged() -> None:
    """Nobody waits for an event that no line of Warren's code writes."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "daemons").rglob("*.py"))
    assert [event.name for event in Event if not re.search(rf"\bEvent\.{event.name}\b", code)] == []
