"""What the suite says of itself: READY once, after which start or reload, and what else."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.program_statuses import program_status
from support.systemd import Listener, systemd
from warren.errors import ExitCode
from warren.status.condition import Condition
from warren.status.suite_report import Outcome, ProgramStatus
from warren.supervise.status.reporter import StatusReporter, View
from warren.supervise.status.sd_notify import Notifier


def worker(**other: Any) -> ProgramStatus:
    return program_status("worker-a", **other)


READY, STARTING = [worker()], [worker(condition=Condition.STARTING)]


def view(program_statuses: list[ProgramStatus], **other: Any) -> View:
    return View(program_statuses, 0, 30.0, **other)


@contextmanager
def listening(
    directory: Path, start_timeout: float = 30.0
) -> Iterator[tuple[StatusReporter, Listener]]:
    """The word of a suite that has just begun, and what systemd hears of it."""
    with systemd(directory) as listener:
        yield StatusReporter(directory, Notifier(listener.address), start_timeout), listener


def outcomes(directory: Path) -> list[tuple[str, int]]:
    """What became of each reload, as the run directory has it."""
    said = json.loads((directory / "programs.json").read_text(encoding="utf-8"))
    return [(each["outcome"], each["code"]) for each in said["reloads"]]


def test_ready_is_said_once(scratch: Path) -> None:
    """READY comes when every program works, and not before.

    A program that is lost later changes STATUS alone.
    """
    with listening(scratch) as (reporter, listener):
        reporter.tell(view(STARTING))
        assert listener.said("READY") == []
        for program_statuses in (READY, STARTING, READY):
            reporter.tell(view(program_statuses))
        assert listener.said("READY") == ["1"]
        assert listener.said("STATUS")[-2:] == [
            "running; not ready: worker-a (starting)",
            "ready: 1 worker",
        ]


def test_a_start_that_takes_too_long_ends(scratch: Path) -> None:
    """READY comes all the same, with what is missing in STATUS.

    Otherwise systemd would start the suite again for ever.
    """
    with listening(scratch, start_timeout=0.0) as (reporter, listener):
        reporter.tell(view(STARTING))
        assert listener.said("READY") == ["1"]
        assert listener.said("STATUS")[-1] == "running; not ready: worker-a (starting)"


@pytest.mark.parametrize(
    ("other", "outcome"),
    [
        ({}, ("applied", 0)),
        ({"failure": "worker-a: expected it at work"}, ("failed", int(ExitCode.FAILURE))),
    ],
)
def test_a_reload_ends_when_its_programs_have_come(
    scratch: Path, other: dict[str, Any], outcome: tuple[str, int]
) -> None:
    """READY answers RELOADING once the programs are ready, or are known to fail.

    The outcome is published.
    """
    with listening(scratch) as (reporter, listener):
        reporter.tell(view(READY))
        reporter.reload_asked()
        reporter.reload_taken(5.0, 30.0)
        reporter.tell(view(READY, changing=True))
        assert len(listener.said("READY")) == 1
        reporter.tell(view(READY, **other))
        assert (len(listener.said("RELOADING")), len(listener.said("READY"))) == (1, 2)
        assert outcomes(scratch) == [outcome]


def test_a_refused_reload_ends_at_once_unless_another_check_continues(scratch: Path) -> None:
    """systemd hears READY after the last of them; the refusal stays in STATUS."""
    with listening(scratch) as (reporter, listener):
        reporter.tell(view(READY))
        refused = Outcome(5.0, "refused", ["x"], int(ExitCode.CONFIG))
        reporter.reload_refused(refused, "x", view(READY, checking=True))
        reporter.tell(view(READY, checking=True))
        assert len(listener.said("READY")) == 1
        reporter.reload_refused(refused, "x", view(READY))
        reporter.tell(view(READY))
        assert len(listener.said("READY")) == 2
        assert (
            listener.said("STATUS")[-1]
            == "ready: 1 worker; reload refused, the suite continues as before: x"
        )


def test_a_stop_is_said_once(scratch: Path) -> None:
    """With what still runs in STATUS."""
    with listening(scratch) as (reporter, listener):
        reporter.tell(view(READY))
        for program_statuses in (READY, [worker(condition=Condition.STOPPED, pid=None)]):
            reporter.tell(view(program_statuses, stopping="asked to stop"))
        assert listener.said("STOPPING") == ["1"]
        assert listener.said("STATUS")[-2:] == ["stopping: worker-a", "stopping"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_directory_that_cannot_be_written_is_seen(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats cannot be written either, and nobody should be judged by them."""
    with listening(scratch) as (reporter, _):
        reporter.tell(view(READY))
        assert reporter.can_write
        with monkeypatch.context() as broken:
            broken.setattr("warren.system.atomic_write.os.replace", full)
            reporter.tell(view(STARTING))
            assert not reporter.can_write
        reporter.tell(view(READY))
        assert reporter.can_write
