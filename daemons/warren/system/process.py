"""The identity of a process, so that a later process with the same number is never taken for it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
#: The kernel treats the process as if it held this many thousandths of the memory more (proc(5),
#: oom_score_adj).
_EXPENDABLE = 500
#: The variable in which a process tells its children its number and its start.
_PARENT = "WARREN_PARENT"
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: The number of the system call read(2), by the name of the processor (uname(2)).
_READ = {
    "x86_64": "0",
    "aarch64": "63",
    "riscv64": "63",
    "armv7l": "3",
    "i686": "3",
    "ppc64le": "3",
    "s390x": "3",
}


@dataclass(frozen=True)
class Process:
    """A process by its number and the clock tick (since boot) of its start: unique in one boot."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Return False once the process has ended. A zombie has ended, because it runs nothing any
        more.

        A process that the kernel hides from this user (hidepid, proc(5)) counts as alive: it may be
        the process in question.
        """
        try:
            return _stat(self.pid) == (self.start, True)
        except PermissionError:
            return True


def current_process() -> Process:
    """Return the calling process. After a fork, this is the child."""
    return _this(os.getpid())


def process_of(pid: int) -> Process | None:
    """Return the process that has this number now; None when this user can see no such process."""
    try:
        status = _stat(pid)
    except PermissionError:
        return None
    return Process(pid, status[0]) if status else None


def resident(pid: int) -> int:
    """Return the bytes of memory that the process holds, shared pages included (proc(5), statm).

    Return 0 when there is no such process.
    """
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def waits(pid: int) -> bool:
    """Return whether the process waits for an event outside itself.

    Such a process has not ended, is not stopped, and needs no processor now. A process that is
    ready to run on a busy machine does not wait (proc(5), stat, field 3).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return text[text.rindex(b")") + 2 :].split()[0] == b"S"


def reads(pid: int, file: int) -> bool:
    """Return whether the process waits in read(2) on the descriptor `file`.

    The process has inherited this descriptor from the calling process. Returns False also when this
    user may not ask (proc(5), syscall), and on a processor whose number of read(2) is unknown here.
    """
    try:
        values = Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").split()
        if (
            len(values) < 2
            or values[0] != _READ.get(os.uname().machine)
            or int(values[1], 16) != file
        ):
            return False
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/{file}"), os.fstat(file))
    except OSError:
        return False


def boot() -> str:
    """Return a name of the boot and of the namespace of process numbers and CLOCK_BOOTTIME.

    The namespace counts because a container that restarts on a running kernel counts its processes
    from the start again.
    """
    # The unit passes on systemd's own boot identity. In a container, the program that started the
    # container puts a file over the boot identity in /proc. But the unit's own /proc (ProtectProc)
    # shows the file of the machine. So without this variable, the unit's daemons and a `warren` in
    # a shell would have different names for the boot.
    identity = (
        os.environ.get("WARREN_BOOT_ID")
        or Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    )
    return f"{identity.replace('-', '')} {os.stat('/proc/self/ns/pid').st_ino}"


def die_with_parent(death: signal.Signals, parent: int = 0) -> None:
    """Ask the kernel to send `death` to this process when its parent ends.

    Sends `death` at once when the parent has ended already.

    parent: the parent's number, from a caller that knew it before the fork; 0 means the present
    parent, which may already be another process that has adopted this one.
    """
    parent = parent or os.getppid()
    _prctl(_PR_SET_PDEATHSIG, int(death))
    if os.getppid() != parent:  # the parent has ended before the call, and the kernel sends nothing
        os.kill(os.getpid(), death)


def told_parent() -> Process | None:
    """Return the process that has started this process, as its variable says (`telling`); else
    None.

    The variable is removed. So a second call returns None, and children of this process do not
    inherit the variable.
    """
    values = os.environ.pop(_PARENT, "").split()
    try:
        pid, start = map(int, values)
    except ValueError:
        return None
    return Process(pid, start)


def telling() -> dict[str, str]:
    """Return the environment variable that tells a child which process has started it.

    The child can then tell its starter however soon the starter ends.
    """
    me = current_process()
    return {_PARENT: f"{me.pid} {me.start}"}


def adopt_orphans() -> None:
    """Make this process adopt its orphaned descendants, so that it can wait for their end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_nothing() -> None:
    """Keep this process, its programs and its children from gaining rights (setuid bits)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_before_others() -> None:
    """Have the kernel kill this process and its children first when memory is short.

    Otherwise the kernel kills the largest process: a task with many small helper processes would
    cost the worker, beat and supervisord before one of the helpers.
    """
    file = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # without a writable /proc the kernel kills the largest
        if int(file.read_text(encoding="ascii")) < _EXPENDABLE:
            file.write_text(str(_EXPENDABLE), encoding="ascii")


def hide_from_peers() -> None:
    """Hide the memory and the open files of this process from other processes of the same user."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    # Imported here: `warren health` asks for processes each cycle and never needs it.
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def effective_uid(pid: int) -> int | None:
    """Return the effective user of a process (proc(5), status, Uid); None when there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(next(line for line in text.splitlines() if line.startswith("Uid:")).split()[2])


@lru_cache(maxsize=1)
def _this(pid: int) -> Process:
    status = _stat(pid)
    if status is None:  # impossible: the caller is running
        raise ProcessLookupError(pid)
    return Process(pid, status[0])


def _stat(pid: int) -> tuple[int, bool] | None:
    """Return the start tick, and whether the process still runs (proc(5), stat, fields 3 and 22).

    Return None when there is no such process. Raises PermissionError when it is hidden.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        # A damaged file may name a number that no process can have.
        with suppress(ProcessLookupError, OverflowError):
            # Only a question. Raises PermissionError for another user's process, whose directory
            # hidepid may hide.
            os.kill(pid, 0)
        return None
    # The name in the text before may hold spaces and brackets.
    fields = text[text.rindex(b")") + 2 :].split()
    return int(fields[19]), fields[0] not in (b"Z", b"X")
