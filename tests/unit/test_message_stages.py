"""The stages of a message: which one takes it, and which ones it never reaches."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from warren.worker.message_stages import MessageStages

#: The stages between a message that can be run and Celery, in their order.
ORDER = ["flood.good", "redelivery.renew", "duplicate_ticks.repeats", "delayed_tasks.postpone"]


class Part:
    """A part of a worker: each of its methods notes that it was called, and returns whether it is
    the one that `takes`.
    """

    def __init__(self, name: str, takes: str, called: list[str]) -> None:
        self._name, self._takes, self._called = name, takes, called

    def __getattr__(self, method: str) -> Any:
        def call(*_: Any) -> bool:
            self._called.append(f"{self._name}.{method}")
            return self._called[-1] == self._takes

        return call


def stages(takes: str, called: list[str]) -> MessageStages:
    """Stages of such parts."""
    parts: dict[str, Any] = {
        field.name: Part(field.name, takes, called) for field in fields(MessageStages)
    }
    return MessageStages(**parts)


@pytest.mark.parametrize("takes", ORDER)
def test_a_stage_takes_a_message_from_those_behind_it(takes: str) -> None:
    """Those behind it do not see the message."""
    called: list[str] = []
    assert stages(takes, called).diverts(object())
    assert called == ORDER[: ORDER.index(takes) + 1]


def test_a_message_that_no_stage_takes_goes_to_celery() -> None:
    """Each stage has seen it, in the order."""
    called: list[str] = []
    assert not stages("none", called).diverts(object())
    assert called == ORDER


@pytest.mark.parametrize("has_slots", [True, False])
def test_a_request_comes_to_quarantine_with_its_slots_alone(has_slots: bool) -> None:
    """A request without slots runs in no way."""
    called: list[str] = []
    stages("gate.has_slots" if has_slots else "none", called).admit(object(), lambda _: None)
    assert called == ["gate.has_slots", "quarantine.admit"][: 1 + has_slots]
