"""The holder of a lock, as the kernel names it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from warren.system.lock_holder import handle_of_holder

HOLDER = """
import fcntl, os, sys, time
if sys.argv[2:]:
    os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
file = os.fdopen(os.open(sys.argv[1], os.O_RDWR), "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(100)
"""


@contextmanager
def holding(path: Path, *user: str) -> Iterator[subprocess.Popen[str]]:
    """A process, of that user, that holds the lock on a file."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), *user], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_of_a_lock_is_found_with_a_handle(tmp_path: Path) -> None:
    """Its number and a handle of it, for whoever may read the file; nobody's lock has neither."""
    lock = tmp_path / "beat.lock"
    assert handle_of_holder(lock) == (0, -1)
    lock.touch(mode=0o400)
    assert handle_of_holder(lock) == (0, -1)
    lock.chmod(0o600)
    with holding(lock) as process:
        pid, handle = handle_of_holder(lock)
        assert pid == process.pid
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        os.close(handle)
        assert process.wait(60) == -signal.SIGTERM


def test_a_lock_that_is_no_file_has_no_holder(tmp_path: Path) -> None:
    """A fifo, or a link to a lock that another process holds, is refused at once.

    The other process gets no signal.
    """
    other, lock = tmp_path / "victim.pid", tmp_path / "beat.lock"
    other.touch()
    with holding(other):
        lock.symlink_to(other)
        with pytest.raises(OSError, match="symbolic link"):
            handle_of_holder(lock)
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(OSError, match="fifo"):
        handle_of_holder(lock)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may signal the processes of others")
@pytest.mark.parametrize("stranger", ["directory", "file", "holder"])
def test_root_believes_no_lock_of_several_users(scratch: Path, stranger: str) -> None:
    """Directory, file and holder are one user's; else root signals nobody."""
    lock = scratch / "beat.lock"
    lock.touch(mode=0o666)
    lock.chmod(0o666)
    scratch.chmod(0o755)
    with holding(lock, *(["1201"] if stranger == "holder" else [])):
        if stranger != "holder":
            os.chown(scratch if stranger == "directory" else lock, 1201, 1201)
        with pytest.raises(PermissionError, match="root trusts neither user"):
            handle_of_holder(lock)
        os.chown(scratch, 0, 0)
        os.chown(lock, 0, 0)
