"""What the log says of that which follows a task's end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from warren.broker.result_validation import unreadable
from warren.worker import callbacks


def failing(*_: Any, **__: Any) -> None:
    """Raise, as anybody's callback may."""
    raise ValueError("no such file")


def test_a_reason_names_the_type_of_an_error_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook's reason stands behind the hook's name.

    The reason of a callback, or of a result that cannot be read, stands alone.
    """
    told: list[Any] = []
    monkeypatch.setattr(
        callbacks,
        "logger",
        lambda: SimpleNamespace(error=lambda _, **fields: told.append(fields["reason"])),
    )
    app = SimpleNamespace(
        tasks={"jobs.a": SimpleNamespace(on_failure=failing)},
        backend=SimpleNamespace(mark_as_failure=failing),
    )
    monkeypatch.setattr(callbacks, "current_app", app)
    callbacks.run_hooks("jobs.a", "x", [("on_failure", ())])
    callbacks.tell("mark_as_failure", "x", None, {"task": "jobs.a"}, False)
    told.append(str(unreadable(ValueError("no such file"))))
    said = "ValueError('no such file')"
    assert told == [f"on_failure: {said}", said, said]
