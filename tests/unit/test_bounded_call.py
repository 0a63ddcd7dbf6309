"""A bound in time for code of others that a loop calls."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from warren.worker import bounded_call
from warren.worker.bounded_call import TookTooLong, call_within


def _spins() -> None:
    while True:
        pass


def _swallows() -> None:
    for _ in range(2):
        with suppress(BaseException):
            _waits()


def _waits() -> None:
    threading.Event().wait()


@pytest.mark.parametrize("call", [_spins, _waits, signal.pause], ids=["spins", "waits", "pauses"])
def test_what_lasts_is_ended(call: Callable[[], Any]) -> None:
    """It ends by an exception of its own, and neither timer nor handler stays."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TookTooLong):
        call_within(0.05, call, {})
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_one_that_passes_over_every_exception_hears_it_again() -> None:
    """A retry that catches all ends with its attempts."""
    assert call_within(0.05, _swallows, {}) is None


def test_the_answer_comes_back() -> None:
    """An answer and an exception of the call are the caller's."""
    assert call_within(60, lambda a: a + 1, {"a": 1}) == 2
    with pytest.raises(ZeroDivisionError):
        call_within(60, lambda: 1 / 0, {})


def test_a_call_within_another_is_bounded_with_it() -> None:
    """The outer bound stays while the inner call runs, and after it."""
    with pytest.raises(TookTooLong):
        call_within(0.05, lambda: (call_within(60, int, {}), threading.Event().wait()), {})


def test_another_thread_has_no_bound() -> None:
    """Signals reach the main thread alone: there the call is only made."""
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(call_within(0.001, threading.Event().wait, {"timeout": 0.05}))
    )
    thread.start()
    thread.join()
    assert answers == [False]


def test_a_ring_outside_the_call_does_nothing() -> None:
    """An alarm just after the call has returned raises nothing: the caller has its answer."""
    bounded_call._alarm(signal.SIGALRM, sys._getframe())
    with pytest.raises(TookTooLong):
        call_within(60, lambda: bounded_call._alarm(signal.SIGALRM, sys._getframe()), {})
