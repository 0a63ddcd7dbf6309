"""Who a process is, so that a number reused by another process is never taken for it."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from warren.system.regular_file import open_regular

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
#: As if a process held so many thousandths of the memory more than it does (proc(5), oom_score_adj).
_EXPENDABLE = 500
#: By what a process tells those that it starts who it is: its number and its start.
_PARENT = "WARREN_PARENT"
#: struct flock of fcntl(2): kind, whence, start, length, pid.
_FLOCK = "hhqqi0q"
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: The number of read(2) by uname(2)'s name of the processor.
_READ = {"x86_64": "0", "aarch64": "63", "riscv64": "63", "armv7l": "3", "i686": "3", "ppc64le": "3", "s390x": "3"}


@dataclass(frozen=True)
class Process:
    """A process by its number and the clock tick (since boot) at which it started: never reused within a boot."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """False once the process has ended, a zombie included: a zombie runs nothing any more.

        One that the kernel hides from this user (hidepid, proc(5)) counts as alive: it may be the one that was meant.
        """
        try:
            return _stat(self.pid) == (self.start, True)
        except PermissionError:
            return True


def this() -> Process:
    """The calling process; asked anew after a fork."""
    return _this(os.getpid())


def of(pid: int) -> Process | None:
    """The process that has this number now; None when there is none that this user may see."""
    try:
        status = _stat(pid)
    except PermissionError:
        return None
    return Process(pid, status[0]) if status else None


def resident(pid: int) -> int:
    """Bytes of memory that the process keeps, shared pages included; 0 when there is none (proc(5), statm, field 2)."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def waits(pid: int) -> bool:
    """Whether the process waits for something outside itself: it has not ended, is not stopped, and needs no processor now.

    One that is ready and has no turn on a busy machine does not wait (proc(5), stat, field 3).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return text[text.rindex(b")") + 2 :].split()[0] == b"S"


def reads(pid: int, file: int) -> bool:
    """Whether the process waits in read(2) for what comes by the descriptor `file`, which it has from this process.

    False also where nobody may ask (proc(5), syscall), and on a processor whose number of that call is not known here.
    """
    try:
        words = Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").split()
        if len(words) < 2 or words[0] != _READ.get(os.uname().machine) or int(words[1], 16) != file:
            return False
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/{file}"), os.fstat(file))
    except OSError:
        return False


def boot() -> str:
    """Names the time and place in which process numbers and CLOCK_BOOTTIME mean something.

    The namespace belongs to it: a container that restarts on a running kernel counts its processes anew.
    """
    # The unit hands down systemd's word for it. In a container the file is laid over /proc by whoever started the container, and
    # the unit's own /proc (ProtectProc) shows the machine's: its daemons and a `warren` in a shell would not mean the same boot.
    identity = os.environ.get("WARREN_BOOT_ID") or Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{identity.replace('-', '')} {os.stat('/proc/self/ns/pid').st_ino}"


def die_with_parent(death: signal.Signals, parent: int = 0) -> None:
    """Asks the kernel to send `death` to this process when its parent ends, and checks that it has not already.

    parent: its number, from whoever knew it before the fork; 0, whoever it is now, which may be an heir already.
    """
    parent = parent or os.getppid()
    _prctl(_PR_SET_PDEATHSIG, int(death))
    if os.getppid() != parent:  # it ended before: the kernel sends nothing for that
        os.kill(os.getpid(), death)


def told_parent() -> Process | None:
    """The process that has started this one, by its own word (`telling`); None where it has said none. Asked once.

    What this process starts is not told.
    """
    said = os.environ.pop(_PARENT, "").split()
    try:
        pid, start = map(int, said)
    except ValueError:
        return None
    return Process(pid, start)


def telling() -> dict[str, str]:
    """What to add to the environment of a process that is to know who has started it, however soon that one ends."""
    me = this()
    return {_PARENT: f"{me.pid} {me.start}"}


def adopt_orphans() -> None:
    """From here on the descendants of this process that lose their parent become its children, whose end it can wait for."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_nothing() -> None:
    """From here on no program that this process runs, or its children, gains rights: no setuid bit counts."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_before_others() -> None:
    """Has the kernel take this process, and what it starts, when memory is short, rather than one of the suite's other ones.

    It takes the largest otherwise: a task with many small helpers would cost the worker, beat and supervisord before one of them.
    """
    file = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # without a writable /proc the largest it is
        if int(file.read_text(encoding="ascii")) < _EXPENDABLE:
            file.write_text(str(_EXPENDABLE), encoding="ascii")


def hide_from_peers() -> None:
    """No other process of the same user may look into this one: not at its memory, nor at its open files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    import ctypes  # only now: `warren health` asks for processes each cycle and never for this

    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def lock_holder(path: Path) -> int:
    """The number of the process that holds the POSIX lock on a file, as the kernel says; 0 when nobody does.

    Minus one when somebody does whom this process cannot see, as from within another container. Raises OSError, also where
    root is asked to believe a file or a process that another user may have put there.
    Not for the holder itself: its lock would be gone when the file is closed here.
    """
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        file = open_regular(path)  # to ask needs no right to write
    except FileNotFoundError:
        return 0
    try:
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, question))
        if kind == fcntl.F_UNLCK:
            return 0
        if os.geteuid() == 0 and pid > 0:
            _refuse_strangers(path, os.fstat(file).st_uid, pid)
    finally:
        os.close(file)
    return pid or -1


def handle_of_holder(path: Path) -> tuple[int, int]:
    """As `lock_holder`, and a handle (pidfd) of the process: a signal through it meets no other one that has got its number.

    The handle is -1 where there is no process to be had. Raises OSError, ProcessLookupError when it has just ended.
    """
    pid = lock_holder(path)
    if pid <= 0:
        return pid, -1
    handle = os.pidfd_open(pid)
    if lock_holder(path) != pid:  # it ended before the handle was ours, which may be of another process with its number
        os.close(handle)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return pid, handle


def _refuse_strangers(path: Path, owner: int, pid: int) -> None:
    """Raise PermissionError unless folder, file and holder are one user's.

    The kernel lets root signal anybody, so root asks what it would ask an ordinary user: whether the process is his.
    """
    uid = effective_uid(pid)
    if uid is None:  # it has ended
        return
    if not os.stat(path.parent).st_uid == owner == uid:
        text = f"it is of user {owner}, and process {pid} of user {uid} holds it; root believes neither"
        raise PermissionError(errno.EPERM, text, str(path))


def effective_uid(pid: int) -> int | None:
    """The user as whom a process acts (proc(5), status, Uid); None when there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(next(line for line in text.splitlines() if line.startswith("Uid:")).split()[2])


@lru_cache(maxsize=1)
def _this(pid: int) -> Process:
    status = _stat(pid)
    if status is None:  # cannot be: the caller is running
        raise ProcessLookupError(pid)
    return Process(pid, status[0])


def _stat(pid: int) -> tuple[int, bool] | None:
    """Start tick and whether it still runs, from /proc/PID/stat (proc(5), fields 3 and 22). Raises PermissionError if hidden."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        with suppress(ProcessLookupError, OverflowError):  # a damaged file may name a number that no process can have
            os.kill(pid, 0)  # asks only; raises PermissionError for another user's process, whose folder hidepid may hide
        return None
    fields = text[text.rindex(b")") + 2 :].split()  # the name before it may hold spaces and brackets
    return int(fields[19]), fields[0] not in (b"Z", b"X")
