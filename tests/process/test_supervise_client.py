"""The client of a running supervisord."""

from __future__ import annotations

import os
import signal

import pytest

from support.suite import Suite
from support.supervised import settings
from warren.control import supervisord_client
from warren.errors import Unavailable
from warren.system.process import Process


def test_the_client_says_when_there_is_nobody_to_ask(suite: Suite) -> None:
    """Without supervisord the answer is Unavailable, with what to do."""
    with pytest.raises(Unavailable, match="warren supervise"):
        supervisord_client.programs(settings(suite))


def test_the_client_does_not_wait_for_ever(
    program_status: tuple[Suite, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisord that hangs makes the client Unavailable in the end, too."""
    suite, supervisor = program_status
    monkeypatch.setattr(supervisord_client, "TIMEOUT", 0.2)
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="timed out"):
            supervisord_client.programs(settings(suite))
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)
