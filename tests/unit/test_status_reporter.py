"""What the suite says of itself: READY once, after which start or reload, and what else."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.program_statuses import program_status
from support.systemd import Listener, systemd
from warren.config import Settings, load
from warren.errors import ExitCode, WarrenError
from warren.status.condition import Condition
from warren.status.suite_report import ProgramStatus
from warren.supervise.reload import reload_steps
from warren.supervise.reload.reload_state import (
    Checking,
    Rolling,
    accepted,
    name_of,
    settled,
    with_rollout,
)
from warren.supervise.reload.reload_steps import ReloadSteps
from warren.supervise.reload.rollout import Moment, Rollout
from warren.supervise.status.reporter import StatusReporter, View
from warren.supervise.status.sd_notify import Notifier


def worker(**other: Any) -> ProgramStatus:
    return program_status("worker-a", **other)


READY, STARTING = [worker()], [worker(condition=Condition.STARTING)]


NO_PROGRAMS: Any = SimpleNamespace(observe=dict)


class Loop:
    """The steps of supervisord's loop that report, over a real reporter."""

    def __init__(self, directory: Path, settings: Settings, listener: Listener, by: float) -> None:
        self.reporter = StatusReporter(directory, Notifier(listener.address))
        options: Any = SimpleNamespace(pidhistory={})
        state = Rolling(by, starting=True)
        self.reload = ReloadSteps(
            settings, NO_PROGRAMS, options, self.reporter, lambda: ([], [], []), state
        )

    def tick(self, program_statuses: list[ProgramStatus], stopping: str = "") -> None:
        """Report once, as each tick does."""
        self.reload.finish_check()
        if stopping:
            self.reload.stop()
        else:
            self.reload.judge(program_statuses)
        state = self.reload.state
        self.reporter.tell(
            View(program_statuses, 0, name_of(state), stopping, settled(state).refusal)
        )


@contextmanager
def listening(
    directory: Path, settings: Settings, start_timeout: float = 30.0
) -> Iterator[tuple[Loop, Listener]]:
    """The reports of a suite that has just begun, and what systemd hears of it."""
    with systemd(directory) as listener:
        yield Loop(directory, settings, listener, Moment().clock + start_timeout), listener


@pytest.fixture
def settings(etc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the suite; a check of new settings does not end by itself."""
    check = SimpleNamespace(poll=lambda: False)
    monkeypatch.setattr(reload_steps, "begin_check", lambda *_: check)
    return load(etc("[worker:a]\n"))


def refuse() -> bool:
    """End a check with an error."""
    raise WarrenError("x")


def outcomes(directory: Path) -> list[tuple[str, int]]:
    """What became of each reload, as the run directory has it."""
    said = json.loads((directory / "programs.json").read_text(encoding="utf-8"))
    return [(each["outcome"], each["code"]) for each in said["reloads"]]


def test_ready_is_said_once(scratch: Path, settings: Settings) -> None:
    """READY comes when every program works, and not before.

    A program that is lost later changes STATUS alone.
    """
    with listening(scratch, settings) as (loop, listener):
        loop.tick(STARTING)
        assert listener.said("READY") == []
        for program_statuses in (READY, STARTING, READY):
            loop.tick(program_statuses)
        assert listener.said("READY") == ["1"]
        assert listener.said("STATUS")[-2:] == [
            "running; not ready: worker-a (starting)",
            "ready: 1 worker",
        ]


def test_a_start_that_takes_too_long_ends(scratch: Path, settings: Settings) -> None:
    """READY comes all the same, with what is missing in STATUS.

    Otherwise systemd would start the suite again for ever.
    """
    with listening(scratch, settings, start_timeout=-1.0) as (loop, listener):
        loop.tick(STARTING)
        assert listener.said("READY") == ["1"]
        assert listener.said("STATUS")[-1] == "running; not ready: worker-a (starting)"


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        ("", ("applied", 0)),
        ("worker-a: expected it at work", ("failed", int(ExitCode.FAILURE))),
    ],
)
def test_a_reload_ends_when_its_programs_have_come(
    scratch: Path, settings: Settings, failure: str, outcome: tuple[str, int]
) -> None:
    """READY answers RELOADING once the programs are ready, or are known to fail.

    The outcome is published.
    """
    with listening(scratch, settings) as (loop, listener):
        loop.tick(READY)
        loop.reload.ask()
        checking = loop.reload.state
        assert isinstance(checking, Checking)
        changing = Rollout(pending={"worker-a": None})
        loop.reload.state, _ = accepted(checking, changing, 30.0, Moment())
        loop.tick(READY)
        assert len(listener.said("READY")) == 1
        assert listener.said("STATUS")[-1] == "reloading: 1 worker"
        loop.reload.state = with_rollout(loop.reload.state, Rollout(failure=failure))
        loop.tick(READY)
        assert (len(listener.said("RELOADING")), len(listener.said("READY"))) == (1, 2)
        assert outcomes(scratch) == [outcome]


def test_a_refused_reload_ends_at_once_unless_another_check_continues(
    scratch: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd hears READY after the last of them; the refusal stays in STATUS."""
    with listening(scratch, settings) as (loop, listener):
        loop.tick(READY)
        check = SimpleNamespace(poll=refuse)
        monkeypatch.setattr(reload_steps, "begin_check", lambda *_: check)
        loop.reload.ask()
        loop.reload.ask()
        assert len(listener.said("RELOADING")) == 2
        loop.tick(READY)
        assert (len(listener.said("READY")), len(outcomes(scratch))) == (1, 1)
        loop.tick(READY)
        assert len(listener.said("READY")) == 2
        assert outcomes(scratch) == [("refused", int(WarrenError.exit_code))] * 2
        assert (
            listener.said("STATUS")[-1]
            == "ready: 1 worker; reload refused, the suite continues as before: x"
        )


def test_a_check_that_cannot_be_started_refuses_its_own_reload(
    scratch: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`warren reload` waits for an outcome that began after its request."""
    with listening(scratch, settings) as (loop, _):
        loop.tick(READY)
        monkeypatch.setattr(reload_steps, "begin_check", full)
        asked = Moment().at
        loop.reload.ask()
        loop.tick(READY)
        [outcome] = json.loads((scratch / "programs.json").read_text(encoding="utf-8"))["reloads"]
        assert outcome["begun"] >= asked
        assert (outcome["outcome"], outcome["code"]) == ("refused", int(ExitCode.SOFTWARE))
        assert "No space left on device" in outcome["problems"][0]


def test_a_stop_ends_a_reload_without_an_outcome(scratch: Path, settings: Settings) -> None:
    """Whoever waits for the outcome reads that the suite is stopping."""
    with listening(scratch, settings) as (loop, listener):
        loop.tick(READY)
        loop.reload.ask()
        loop.tick(STARTING, stopping="asked to stop")
        assert outcomes(scratch) == []
        assert (len(listener.said("READY")), listener.said("STATUS")[-1]) == (
            1,
            "stopping: worker-a",
        )


def test_a_stop_is_said_once(scratch: Path, settings: Settings) -> None:
    """With what still runs in STATUS."""
    with listening(scratch, settings) as (loop, listener):
        loop.tick(READY)
        for program_statuses in (READY, [worker(condition=Condition.STOPPED, pid=None)]):
            loop.tick(program_statuses, stopping="asked to stop")
        assert listener.said("STOPPING") == ["1"]
        assert listener.said("STATUS")[-2:] == ["stopping: worker-a", "stopping"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_directory_that_cannot_be_written_is_seen(
    scratch: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats cannot be written either, and nobody should be judged by them."""
    with listening(scratch, settings) as (loop, _):
        loop.tick(READY)
        assert loop.reporter.can_write
        with monkeypatch.context() as broken:
            broken.setattr("warren.system.atomic_write.os.replace", full)
            loop.tick(STARTING)
            assert not loop.reporter.can_write
        loop.tick(READY)
        assert loop.reporter.can_write
