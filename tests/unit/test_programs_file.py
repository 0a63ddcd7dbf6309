"""The report of supervisord, as another process reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from warren.status import programs_file
from warren.status.programs_file import ProgramsWriter
from warren.system.process import Process

#: A supervisord: it holds the lock of the run directory, and writes its report.
SUPERVISORD = """
import sys, time
from pathlib import Path
from warren.status.programs_file import ProgramsWriter
from warren.system.run_lock import Lock
lock = Lock(Path(sys.argv[1]))
ProgramsWriter(Path(sys.argv[1])).write("running", "ready", [])
print("written", flush=True)
time.sleep(100)
"""


def test_a_supervisord_that_proc_hides_is_known_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hidepid=2 a process in a user namespace of its own has no entry in /proc."""
    monkeypatch.setattr(Process, "alive", property(lambda _process: False))
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISORD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisord:
        assert supervisord.stdout is not None
        assert supervisord.stdout.readline() == "written\n"
        known = programs_file.read(tmp_path).known
        supervisord.kill()
    assert known is not None
    assert known.process.pid == supervisord.pid
    assert programs_file.read(tmp_path).known is None, "the lock ends with its holder"


def test_a_report_of_another_process_than_the_locks_holder_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisord that has just started has not written its own report yet."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISORD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as supervisord:
        assert supervisord.stdout is not None
        assert supervisord.stdout.readline() == "written\n"
        ProgramsWriter(tmp_path).write("running", "ready", [])  # by this process
        monkeypatch.setattr(Process, "alive", property(lambda _process: False))
        known = programs_file.read(tmp_path).known
        supervisord.kill()
    assert known is None
