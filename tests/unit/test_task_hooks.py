"""What Warren does as a task or a pool child begins and ends: each step in its order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals

from warren.worker import child_start
from warren.worker.child_start import ChildStart
from warren.worker.task_hooks import TaskHooks

SOURCE = Path(__file__).parents[2] / "daemons" / "warren"
#: The signals in whose receivers an order carries meaning.
ORDERED = ("task_prerun", "task_postrun", "worker_process_init")


class Steps:
    """The steps that were called, in their order; each raises what the test asks for."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.error: Exception | None = None

    def __getattr__(self, part: str) -> Any:
        return _Part(part, self)


class _Part:
    def __init__(self, name: str, steps: Steps) -> None:
        self._name, self._steps = name, steps

    def __getattr__(self, step: str) -> Any:
        def call(**_: Any) -> None:
            self._steps.called.append(f"{self._name}.{step}")
            if self._steps.error is not None:
                raise self._steps.error

        return call


@pytest.fixture
def steps() -> Iterator[Steps]:
    """Hooks of steps that are noted, connected to Celery's signals."""
    made = Steps()
    hooks = TaskHooks(made.log, made.slots, made.crash_counts)
    hooks.connect()
    yield made
    signals.task_prerun.disconnect(hooks.begin)
    signals.task_postrun.disconnect(hooks.end)


ORDER = [
    "log.began",
    "slots.before",
    "crash_counts.task_began",
    "log.ended",
    "slots.after",
    "crash_counts.task_ended",
]


@pytest.mark.parametrize("error", [None, ValueError("a step fails")])
def test_a_task_begins_and_ends_in_the_order_of_the_steps(
    steps: Steps, error: Exception | None
) -> None:
    """Log, slots, crash note: also where each of them raises, as at a soft time limit."""
    app = Celery(set_as_current=False)

    @app.task(name="sample")
    def sample() -> str:
        return "the value"

    steps.error = error
    assert sample.apply().get() == "the value"
    assert steps.called == ORDER


@pytest.mark.parametrize("error", [None, ValueError("a step fails")])
def test_a_pool_child_starts_in_the_order_of_the_steps(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Guard, tie to the worker, empty crash note: also where each of them raises."""
    steps = Steps()
    steps.error = error

    def died_with(*_: Any) -> None:
        steps.called.append("tie")
        raise ValueError("what follows would change this process")

    monkeypatch.setattr(child_start, "die_with_parent", died_with)
    start = ChildStart(1, steps.task_guard, steps.crash_counts)
    start.connect()
    try:
        signals.worker_process_init.send(sender=None)
    finally:
        signals.worker_process_init.disconnect(start.begin)
    assert steps.called == ["task_guard.begin_child", "tie", "crash_counts.begin_child"]


def test_no_other_file_connects_to_a_signal_whose_order_carries_meaning() -> None:
    """Two files of Warren that listen to one of them would have an order that is written
    nowhere.
    """
    found = {
        (path.name, signal)
        for path in SOURCE.rglob("*.py")
        for signal in re.findall(r"\b(\w+)\.connect\(", path.read_text(encoding="utf-8"))
        if signal in ORDERED
    }
    assert found == {
        ("task_hooks.py", "task_prerun"),
        ("task_hooks.py", "task_postrun"),
        ("child_start.py", "worker_process_init"),
    }
