"""What a run of the quickstart starts ends, and nothing else does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.wait import end_of, until
from warren.demo.quickstart import keep, processes, scratch
from warren.errors import WarrenError
from warren.system.process import Process, boot, process_of

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], process_group=0)
print(child.pid, flush=True)
signal.pause()
"""


def alive(pid: int) -> bool:
    found = process_of(pid)
    return found is not None and found.alive


def begin(directory: Path, code: str) -> tuple[subprocess.Popen[bytes], Process]:
    """A process in a session of its own that has printed a line to `out`."""
    (directory / "program.py").write_text(code, encoding="utf-8")
    out = directory / "out"
    with out.open("wb") as output:
        arguments = [sys.executable, str(directory / "program.py")]
        child = subprocess.Popen(arguments, stdout=output, start_new_session=True)
    until(lambda: out.read_bytes().endswith(b"\n"))
    identity = process_of(child.pid)
    assert identity is not None
    return child, identity


def test_nothing_of_a_session_survives_its_end(tmp_path: Path) -> None:
    """A process that ignores the stop is killed after its grace, with all that it has started."""
    child, identity = begin(tmp_path, STUBBORN)
    grandchild = int((tmp_path / "out").read_text(encoding="ascii"))
    assert alive(grandchild)
    processes.end(identity, grace=0.2)
    assert end_of(child) == -signal.SIGKILL
    until(lambda: not alive(grandchild))


def test_who_hurries_waits_for_nothing(tmp_path: Path) -> None:
    """A second Ctrl-C: what has not ended by then is killed at once."""
    child, identity = begin(tmp_path, STUBBORN)
    processes.end(identity, grace=10_000, hurried=lambda: True)
    assert end_of(child) == -signal.SIGKILL


def test_a_number_that_is_anothers_by_now_is_left_alone(tmp_path: Path) -> None:
    """A process that only has the number of one of ours is neither asked nor killed.

    Its whole session is left alone as well.
    """
    child, identity = begin(tmp_path, STUBBORN.replace("SIG_IGN", "SIG_DFL"))
    try:
        former = replace(identity, start=identity.start - 1)
        assert list(processes.session(identity))
        assert list(processes.session(former)) == []
        processes.end(former, grace=0.2)
        assert alive(child.pid)
    finally:
        processes.end(identity, grace=0.2)
        end_of(child)


def test_what_was_started_ends_with_a_killed_starter(tmp_path: Path) -> None:
    """A run that is killed takes along what it has started, unless that was to be kept."""
    code = (
        "import os, pathlib, signal, sys\n"
        "from warren.demo.quickstart import processes\n"
        f"directory = pathlib.Path({str(tmp_path)!r})\n"
        "words = ['http.server', '--bind', '127.0.0.1', '0']\n"
        "kept, other = (processes.start(words, directory / f'{keep}.out', keep) for keep in (True, "
        "False))\n"
        "print(kept.pid, other.pid, flush=True)\n"
        "signal.pause()\n"
    )
    child, _ = begin(tmp_path, code)
    kept, other = map(int, (tmp_path / "out").read_text(encoding="ascii").split())
    identity = process_of(kept)
    assert identity is not None
    try:
        child.kill()
        end_of(child)
        until(lambda: not alive(other))
        assert alive(kept)
    finally:
        processes.end(identity, grace=5)


def test_a_program_that_ended_is_told_with_its_last_words(tmp_path: Path) -> None:
    """When the API or the suite ends before its time, the error has the end of its output."""
    out = tmp_path / "program.out"
    process = processes.start(["warren.demo.api", "--nonsense"], out, keep=False)
    end_of(process)
    assert out.stat().st_mode & 0o027 == 0
    with pytest.raises(
        WarrenError, match=r"program\.out: expected this program to run(?s:.)*--nonsense"
    ):
        processes.alive_or_raise(process, out)


def test_stopping_a_directory_without_a_kept_run_says_so(tmp_path: Path) -> None:
    """`--stop` on any other directory touches nothing and says what was expected there."""
    with pytest.raises(
        WarrenError, match=f"{tmp_path}: expected a run that --keep left, found none"
    ):
        keep.stop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_stopping_a_kept_run_ends_what_it_left(tmp_path: Path) -> None:
    """`--stop` ends every process of the run and removes the broker's URL.

    A second call finds no run to stop.
    """
    made = scratch.make(tmp_path / "home", None)
    made.broker_url.touch()
    child, identity = begin(tmp_path, STUBBORN.replace("SIG_IGN", "SIG_DFL"))
    told = {"boot": boot(), "processes": [[identity.pid, identity.start]], "suffix": ""}
    (made.home / "kept.json").write_text(json.dumps(told), encoding="utf-8")
    keep.stop(made.home)
    assert end_of(child) == -signal.SIGTERM
    assert not made.broker_url.exists()
    with pytest.raises(WarrenError, match="kept"):
        keep.stop(made.home)


def test_stopping_after_a_reboot_ends_nobody(tmp_path: Path) -> None:
    """Numbers that were written down before a reboot are those of other processes now."""
    made = scratch.make(tmp_path / "home", None)
    child, identity = begin(tmp_path, STUBBORN.replace("SIG_IGN", "SIG_DFL"))
    try:
        told = {"boot": "another", "processes": [[identity.pid, identity.start]], "suffix": ""}
        (made.home / "kept.json").write_text(json.dumps(told), encoding="utf-8")
        keep.stop(made.home)
        assert alive(child.pid)
    finally:
        processes.end(identity, grace=0.2)
        end_of(child)
