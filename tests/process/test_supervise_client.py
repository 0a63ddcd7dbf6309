"""The client of a running supervisord."""

from __future__ import annotations

import os
import signal

import pytest

from support.suite import Suite
from support.supervised import programs, reload, settings
from warren.errors import Unavailable, WarrenError
from warren.process import Process
from warren.supervise import client


def test_the_client_commands_programs(standing: tuple[Suite, Process]) -> None:
    """Programs can be stopped and started by name, twice in a row too; what was stopped stays so in a reload."""
    suite, supervisor = standing
    given, before = settings(suite), programs(suite)["beat"].pid
    for _ in range(2):
        client.stop(given, "beat")
    stopped = programs(suite)["beat"]
    assert (stopped.state, stopped.pid) == ("STOPPED", None)
    reload(suite, supervisor)
    assert programs(suite)["beat"].state == "STOPPED"
    for _ in range(2):
        client.start(given, "beat")
    again = programs(suite)["beat"]
    assert again.state == "RUNNING"
    assert again.pid not in (None, before)


def test_the_client_refuses_what_does_not_exist(standing: tuple[Suite, Process]) -> None:
    """A program that this host does not have is named in the refusal."""
    with pytest.raises(WarrenError, match="nonesuch"):
        client.stop(settings(standing[0]), "nonesuch")


def test_the_client_says_when_there_is_nobody_to_ask(suite: Suite) -> None:
    """Without supervisord the answer is Unavailable, with what to do."""
    with pytest.raises(Unavailable, match="warren supervise"):
        client.programs(settings(suite))


def test_the_client_does_not_wait_for_ever(standing: tuple[Suite, Process], monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisord that hangs makes the client Unavailable in the end, too."""
    suite, supervisor = standing
    monkeypatch.setattr(client, "PATIENCE", 0.2)
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="timed out"):
            client.programs(settings(suite))
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)
