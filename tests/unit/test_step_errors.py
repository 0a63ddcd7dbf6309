"""Errors in supervisord's loop."""

from __future__ import annotations

import pytest

from warren.supervise.step_errors import Steps


class End(Exception):
    """How the loop ends in order."""


def test_a_step_that_fails_costs_no_other() -> None:
    """The steps after it are taken, in this turn and in those that follow."""
    steps, taken = Steps(), []
    for _ in range(3):
        steps.take("one", lambda: 1 / 0)
        steps.take("two", lambda: taken.append(2))
    assert taken == [2, 2, 2]


def test_the_loop_is_begun_again_when_it_raises() -> None:
    """As long as it makes turns in between, and until it ends in order."""
    steps, tries = Steps(), []

    def steps_of() -> None:
        tries.append(1)
        if len(tries) == 25:
            raise End
        steps.turned()
        raise KeyError("foreign")

    with pytest.raises(End):
        steps.loop(steps_of, End)
    assert len(tries) == 25


def test_a_loop_that_makes_no_step_any_more_ends() -> None:
    """Then systemd starts the suite again: nothing else could help."""
    steps, tries = Steps(), []

    def steps_of() -> None:
        tries.append(1)
        raise KeyError("foreign")

    with pytest.raises(KeyError):
        steps.loop(steps_of, End)
    assert len(tries) == 10
