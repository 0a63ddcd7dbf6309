"""How often a chord looks at its parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Retry

from warren.worker import chords


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app that keeps its results in this process."""
    made = Celery("chords", broker="memory://", backend="cache+memory://", set_as_current=False)
    made.finalize()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (0, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]),
        (-5, [0.1, 0.2, 0.4]),
        (0.05, [0.1, 0.2]),
        (0.5, [0.5, 0.5]),
        (3, [3, 3]),
    ],
)
def test_a_chord_without_an_interval_looks_after_a_pause(
    app: Celery, monkeypatch: pytest.MonkeyPatch, interval: float, expected: list[float]
) -> None:
    """Longer each time, up to Celery's own second; an interval that is a pause stays.

    Celery's own task is asked.
    """
    task, asked = app.tasks["celery.chord_unlock"], list[float]()

    def retry(**options: Any) -> None:
        asked.append(options["countdown"])
        raise Retry

    monkeypatch.setattr(task, "retry", retry)
    chords.guard(app.tasks)
    for number in range(len(expected)):
        task.push_request(retries=number)
        try:
            with pytest.raises(Retry):
                task.run(
                    group_id="group",
                    callback={"task": "a"},
                    interval=interval,
                    result=[(("part", None), None)],
                )
        finally:
            task.pop_request()
    assert asked == expected
