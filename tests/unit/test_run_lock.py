"""The lock on the run directory, between processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.wait import output_of, run_to_end
from warren.config import AppSettings, Settings
from warren.errors import AlreadyRunning, WarrenError
from warren.runtime import instance_lock
from warren.supervise.programs.directories import note_run_dir, noted_run_dir
from warren.system.lock_holder import lock_holder
from warren.system.run_lock import Lock

OTHER = """
import sys
from pathlib import Path
from warren.system.run_lock import Lock
lock = Lock(Path(sys.argv[1]))
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_removed_lock_is_taken_again(tmp_path: Path) -> None:
    """A lock whose file was removed is seen to be lost, and once renewed nobody else gets it."""
    lock = Lock(tmp_path)
    assert not lock.lost
    lock.path.unlink()
    assert lock.lost
    lock.renew()
    assert not lock.lost
    other = run_to_end([sys.executable, "-c", OTHER, str(tmp_path)], capture_output=True)
    assert "AlreadyRunning" in other.stderr
    lock.release()


#: By what they are; JSON that is no note of a daemon's among them.
NOTES = {
    "none": b"",
    "bytes": b"\xff\xfe",
    "escape": b"\033[2J",
    "long": b"1" * 100,
    "three": b"[1, [1, 2, 3]]",
    "a number": b"[1, 5]",
    "texts": b'["\\u001b[2J", null]',
    "a fifo": b'[1, ["../FIFO", 1]]',
    "others": b'[{}, [{"a": 1}, []]]',
    "truths": b"[true, null]",
    "a number of no process": b"[1, [99999999999999999999, 1]]",
    "huge": None,
}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_what_stands_in_a_lock_is_believed_by_nobody(
    tmp_path: Path, note: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any task may write to the file, also a terabyte.

    A process that meets the lock is told that another has it, and no more.
    """
    arguments = [sys.executable, "-c", OTHER, str(tmp_path)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        if note is None:
            os.truncate(tmp_path / "supervisord.lock", 1 << 40)
        else:
            # A path below /proc that leads to a fifo, which would be waited at.
            os.mkfifo(tmp_path / "stat")
            (tmp_path / "supervisord.lock").write_bytes(
                note.replace(b"../FIFO", f"../{tmp_path}".encode())
            )
        with pytest.raises(AlreadyRunning, match=r"process (\?|\d{1,32}), has the run directory"):
            Lock(tmp_path)
        # The same file as the lock of a daemon, which waits for a holder of which it knows nothing:
        # it may be about to end.
        monkeypatch.setattr(instance_lock, "ORPHAN_TIMEOUT", 0)
        (tmp_path / "beat.lock").hardlink_to(tmp_path / "supervisord.lock")
        with pytest.raises(
            WarrenError,
            match=rf"another beat runs on this host, process unknown \({tmp_path}/beat.lock\)",
        ):
            instance_lock.InstanceLock(tmp_path, "beat", None).take()
        output_of(other)


def test_a_lock_that_another_has_taken_stays_with_it(tmp_path: Path) -> None:
    """A process that came in while the file was gone keeps the lock.

    It keeps it also when the first process asks again.
    """
    lock = Lock(tmp_path)
    lock.path.unlink()
    arguments = [sys.executable, "-c", OTHER, str(tmp_path)]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        for _ in range(2):
            assert lock.lost
            with pytest.raises(AlreadyRunning, match=f"process {other.pid}"):
                lock.renew()
        assert lock_holder(lock.path) == other.pid
        output_of(other)
    lock.renew()
    lock.release()


def test_the_note_of_the_run_directory_waits_for_nobody(tmp_path: Path) -> None:
    """A fifo or a link that a task has left in its place is replaced by the note.

    The target of the link stays.
    """
    (tmp_path / "state").mkdir()
    app = AppSettings(state_dir=tmp_path / "state", run_dir=tmp_path / "run")
    settings = Settings(directory=tmp_path, host="here", app=app)
    (tmp_path / "other").write_text("kept")
    os.mkfifo(tmp_path / "state" / "run_dir")
    note_run_dir(settings)
    assert noted_run_dir(settings) == tmp_path / "run"
    (tmp_path / "state" / "run_dir").unlink()
    (tmp_path / "state" / "run_dir").symlink_to(tmp_path / "other")
    note_run_dir(settings)
    assert (noted_run_dir(settings), (tmp_path / "other").read_text()) == (tmp_path / "run", "kept")
