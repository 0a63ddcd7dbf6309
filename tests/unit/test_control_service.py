"""What systemd and Monit are told, in which order."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from warren.cli import main
from warren.config.reader import DEFAULT_DIRECTORY
from warren.control import service, unit_sandbox
from warren.control.service import Action, run, steps
from warren.control.unit_sandbox import _VIEW
from warren.errors import ExitCode, Unavailable

Told = Callable[..., None]

UNMONITOR, MONITOR = "monit -g warren unmonitor", "monit -g warren monitor"
FORGET = "systemctl reset-failed warren"
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason=f"needs root, found {getpass.getuser()}")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.START, [FORGET, "systemctl start warren", MONITOR]),
        (Action.STOP, [UNMONITOR, "systemctl stop warren"]),
        (Action.RESTART, [UNMONITOR, FORGET, "systemctl restart warren", MONITOR]),
    ],
)
def test_the_order(action: Action, expected: list[str]) -> None:
    """Monit stops watching before the suite ends and watches again after it was started.

    Without Monit only systemd is told.
    """
    assert [" ".join(step.arguments) for step in steps(action, monit=True)] == expected
    without = [line for line in expected if not line.startswith("monit")]
    assert [" ".join(step.arguments) for step in steps(action, monit=False)] == without


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Put a systemctl and a monit before the real ones.

    They note their arguments and end as they are asked to.
    """
    monkeypatch.setattr(service, "_BOOTED", tmp_path)
    monkeypatch.setattr(service, "PATH", f"{tmp_path}{os.pathsep}{service.PATH}")

    def use(systemctl: str = "exit 0", monit: str = "exit 0") -> None:
        for name, end in (("systemctl", systemctl), ("monit", monit)):
            script = tmp_path / name
            script.write_text(
                f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/told\n{end}\n', encoding="utf-8"
            )
            script.chmod(0o755)

    return use


def test_a_check_of_roots_is_confined_as_the_unit_is(told: Told) -> None:
    """Every line by which the unit hardens itself is among the sandbox's properties.

    An empty set of capabilities is, too.
    """
    unit = (Path(__file__).parents[2] / "systemd" / "warren.service").read_text(encoding="utf-8")
    hardening = unit.partition("# Hardening.")[2].partition("[Install]")[0]
    # it would take semaphores from the suite
    names = set(re.findall(r"^(\w+)=", hardening, re.MULTILINE)) - {"RemoveIPC"}
    assert names <= set(_VIEW)
    told(
        systemctl="printf "
        "'LoadState=loaded\\nUser=anna\\nCapabilityBoundingSet=\\nAmbientCapabilities=\\nProtectClock=yes\\n'"
    )
    arguments = unit_sandbox.sandbox(DEFAULT_DIRECTORY, "anna", 1.0)
    assert {"--property=CapabilityBoundingSet=", "--property=ProtectClock=yes"} <= set(arguments)
    assert "--property=AmbientCapabilities=" not in arguments


def heard(directory: Path) -> list[str]:
    """What was asked of systemd and Monit; to look is to ask for nothing."""
    told = directory / "told"
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    return [line for line in lines if not line.startswith("systemctl show ")]


@pytest.mark.parametrize("entry", [".", "", "{directory}"])
def test_root_runs_no_program_of_the_shells_path(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """A `systemctl` that a task has put into root's directory or PATH does not run."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("systemctl", "monit", "systemd-run"):
        (theirs / name).write_text(f"#!/bin/sh\n: >{tmp_path}/run\n", encoding="utf-8")
        (theirs / name).chmod(0o755)
    monkeypatch.chdir(theirs)
    monkeypatch.setenv("PATH", entry.format(directory=theirs), prepend=os.pathsep)
    told()
    assert run(Action.RESTART, lambda: None).reason == ""
    service.unit_user(DEFAULT_DIRECTORY)
    assert not (tmp_path / "run").exists()
    assert heard(tmp_path) == [UNMONITOR, FORGET, "systemctl restart warren", MONITOR]


def test_a_start_that_fails_is_watched(told: Told, tmp_path: Path) -> None:
    """The reason says why it failed.

    Monit watches all the same, so that its page shows red.
    """
    told(
        systemctl=(
            "case $1 in start) echo; echo Job failed.; echo more; exit 1 ;; show) echo "
            "StatusText=no such task ;; esac"
        )
    )
    outcome = run(Action.START, lambda: None)
    assert outcome.reason == "systemctl start warren failed: Job failed.; no such task"
    assert heard(tmp_path)[-1] == MONITOR


def test_an_interrupted_restart_is_watched(told: Told, tmp_path: Path) -> None:
    """Ctrl-C while the suite restarts does not leave Monit looking away."""
    told(systemctl='[ "$1" = reset-failed ] || sleep 1')

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Action.RESTART, interrupt)
    assert heard(tmp_path)[-1] == MONITOR


def test_a_unit_that_has_nothing_to_forget(told: Told) -> None:
    """reset-failed fails for a unit that is not loaded: that is neither a reason nor a note."""
    told(systemctl='[ "$1" != reset-failed ]')
    assert run(Action.START, lambda: None) == service.Outcome("", ())


def test_a_monit_that_cannot_be_told(told: Told, tmp_path: Path) -> None:
    """A Monit that does not run is a note and keeps nobody from stopping the suite."""
    told(monit="echo the monit daemon is not running; exit 1")
    outcome = run(Action.STOP, lambda: None)
    assert outcome.reason == ""
    assert outcome.notes == (f"{UNMONITOR} failed: the monit daemon is not running",)
    assert heard(tmp_path) == [UNMONITOR, "systemctl stop warren"]


def test_a_host_without_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is said what to use instead, and nothing is told to anybody."""
    monkeypatch.setattr(service, "_BOOTED", tmp_path / "none")
    with pytest.raises(Unavailable, match="warren supervise --detach"):
        run(Action.START, lambda: None)


@NEEDS_ROOT
def test_a_wrong_configuration(
    etc: Callable[..., Path], told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong configuration prevents a restart, before systemd or Monit is told.

    It never prevents a stop.
    """
    told()
    directory = str(etc("[worker:a]\nconcurency = 2\n"))
    assert main(["--config", directory, "restart"]) == ExitCode.CONFIG
    assert not heard(tmp_path)
    assert main(["--config", directory, "stop"]) == ExitCode.OK
    said = capsys.readouterr()
    assert "did you mean concurrency?" in said.err
    assert said.out.startswith("stopped in ")


@NEEDS_ROOT
@pytest.mark.parametrize(
    "status", ["ready: 1 worker", "running: 1 worker; not ready: beat (starting)"]
)
def test_a_start_after_which_not_all_is_ready(
    etc: Callable[..., Path],
    told: Told,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    status: str,
) -> None:
    """When systemd was told that the suite has started, the command ends with 0.

    It also says what is not ready.
    """
    told(systemctl=f'[ "$1" != show ] || echo "StatusText={status}"')
    directory = str(etc(f"[app]\nrun_dir = {tmp_path}\n[worker:a]\n"))
    late = "" if status.startswith("ready") else status
    assert main(["--config", directory, "start", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["not_ready"] == (late or None)
    assert main(["--config", directory, "start"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert out.startswith("started in ")
    assert err == (
        f"not every program is ready; each of them tries again: {late}; see warren status\n"
        if late
        else ""
    )


@NEEDS_ROOT
@pytest.mark.parametrize("state", ["active", "activating", "inactive"])
def test_a_start_of_what_already_runs(
    etc: Callable[..., Path],
    told: Told,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    state: str,
) -> None:
    """It is a success, and is not called a start; Monit watches it again."""
    told(
        systemctl='[ "$1" != show ] '
        f'|| printf "StatusText=ready: 1 worker\\nActiveState={state}\\n"'
    )
    directory = str(etc(f"[app]\nrun_dir = {tmp_path}\n[worker:a]\n"))
    assert main(["--config", directory, "start", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["already_running"] == (state == "active")
    assert main(["--config", directory, "start"]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.out.startswith("started in ") == (state != "active")
    assert ("the suite already runs\n" in said.out) == (state == "active")
    assert heard(tmp_path)[-1] == MONITOR


def test_another_user_than_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who may not do it reads how to."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["stop"]) == ExitCode.FAILURE
    assert capsys.readouterr().err.endswith("; sudo warren stop\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mian"], "expected --rolling with the names of workers, found mian alone"),
        (["--rolling", "mian"], "expected a worker of this host, found 'mian'; did you mean main?"),
    ],
)
def test_a_mistyped_worker(
    etc: Callable[..., Path], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker's name that means nothing restarts nothing."""
    assert main(["--config", str(etc("[worker:main]\n")), "restart", *arguments]) == ExitCode.USAGE
    assert said in capsys.readouterr().err
