"""A message that nobody can run is kept on this host, whatever it is made of."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from warren.worker.copies import Copies
from warren.worker.dead_letters import WHY, DeadLetters


def deep() -> dict[str, Any]:
    """Return headers that json cannot write."""
    found: dict[str, Any] = {}
    for _ in range(100_000):
        found = {"x": found}
    return found


class Loud:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "headers",
    [{"id": "one"}, {("a", "b"): 1}, {"blob": b"\xff"}, {"loud": Loud()}, deep()],
    ids=["plain", "key", "bytes", "loud", "deep"],
)
def test_whatever_it_is_made_of_is_kept(tmp_path: Path, headers: dict[Any, Any]) -> None:
    """One file with the reason, and only then the acknowledgement."""
    message = SimpleNamespace(
        headers=headers, properties={}, body="[]", content_type="application/json", content_encoding="utf-8", delivery_info={}
    )
    acknowledged: list[int] = []
    letters = DeadLetters(cast(Copies, None), "here", "main", tmp_path / "rejected")  # it sends nothing
    letters.keep_here(message, "no reason", lambda: acknowledged.append(len(list((tmp_path / "rejected").iterdir()))))
    assert acknowledged == [1]
    (kept,) = (tmp_path / "rejected").iterdir()
    assert json.loads(kept.read_text(encoding="utf-8"))["headers"][WHY]["reason"] == "no reason"
