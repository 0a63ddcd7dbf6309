"""A command of root's as a child that is another user: what it has, what it shows, how it ends."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.forks import child as forked
from support.forks import end
from support.wait import run_to_end, until
from warren.cli import child_output, unprivileged_child
from warren.cli.unprivileged_child import ChildLimits
from warren.errors import WarrenError
from warren.system.users import User

Ran = Callable[..., tuple[int, str, str]]
#: Without a name: a user by number is a user.
OTHER = User(1201, 1202, (1203, 1204)) if os.geteuid() == 0 else User(os.geteuid(), os.getegid())
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def ran(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Run a shell script in the place of the child's Python, as another user.

    Return its exit code and what was shown.
    """
    scratch.chmod(0o755)

    def run(script: str, timeout: float | None = 60.0) -> tuple[int, str, str]:
        python = scratch / "python"
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        shown = [io.TextIOWrapper(io.BytesIO()) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", shown[0])
        monkeypatch.setattr(sys, "stderr", shown[1])
        code = unprivileged_child.run(
            OTHER, {"directory": scratch, "host": "here"}, ["status"], ChildLimits(timeout)
        )
        out, err = (stream.buffer.getvalue().decode() for stream in shown)
        return code, out, err

    return run


@ROOT
def test_a_child_has_nothing_of_roots(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """User, groups, session, directory, files and environment are the child's own.

    No program gives it more rights.
    """
    monkeypatch.setenv("SECRET", "of root")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    leak = os.stat(f"/proc/self/fd/{writing}").st_ino
    code, out, err = ran(
        "id -u; id -g; id -G; umask; pwd; ps -o sid= -p $$ | tr -d ' '; echo $$; grep -E "
        "'NoNewPrivs|^Uid' /proc/self/status\n"
        "readlink /proc/self/fd/0; ls -l /proc/$$/fd; env; cat /dev/tty; echo args: $*"
    )
    os.close(reading)
    os.close(writing)
    lines = out.splitlines()
    assert (lines[:3], lines[3]) == (["1201", "1202", "1202 1203 1204"], "0077")
    assert lines[4] == "/"
    assert lines[5] == lines[6] != str(os.getsid(0))
    assert lines[7].split()[1:] == ["1201"] * 4
    assert lines[8].split() == ["NoNewPrivs:", "1"]
    assert lines[9] == "/dev/null"
    assert f"pipe:[{leak}]" not in out
    assert "/dev/pts" not in out
    assert "SECRET" not in out
    assert "/dev/tty" in err  # there is none
    assert code == 0
    assert lines[-1].startswith("args: -I -m warren --config ")


def test_what_it_prints_is_text(ran: Ran) -> None:
    """On both streams, to the last byte, whatever its size."""
    code, out, err = ran(
        "printf '\\033[31mred\\033[0m\\033]0;title\\007'; printf '\\033[2J' >&2; head -c 3000000 "
        "/dev/zero | tr '\\0' x"
    )
    assert out == "\x1b[31mred\x1b[0m\\x1b]0;title\\x07" + "x" * 3_000_000
    assert (code, err) == (0, "\\x1b[2J")


def test_its_exit_code_is_passed_on(ran: Ran) -> None:
    """Whatever it is."""
    assert [ran(f"exit {code}")[0] for code in (0, 1, 69, 78, 255)] == [0, 1, 69, 78, 255]


def test_a_child_that_closes_its_output_is_waited_for(ran: Ran) -> None:
    """Its end is its end, and not the end of its text."""
    assert ran("exec >&- 2>&-; sleep 1; exit 7")[0] == 7


def test_what_it_leaves_behind_does_not_hold_root(ran: Ran, scratch: Path) -> None:
    """A process that keeps the pipes open after the child is not waited for.

    It may be in the child's session or in one of its own.
    """
    code, out, _ = ran("sleep 2000 & echo $!; setsid sleep 2000 & echo $!; exit 3")
    assert code == 3
    for pid in map(int, out.split()):
        os.kill(pid, signal.SIGKILL)  # it is there still: nobody has waited for its end


def test_a_child_that_hangs_is_ended(ran: Ran) -> None:
    """One that heeds no SIGTERM, too; it is said why."""
    with pytest.raises(WarrenError, match="longer than 1 s; look for a task module"):
        ran("trap '' TERM; while :; do sleep 1; done", 1.0)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_a_child_that_is_stopped_continues(ran: Ran, number: int) -> None:
    """Any process of its user may stop it; root's command does not hang, however often."""
    assert ran(f"kill -{int(number)} $$; kill -STOP $$; echo on; exit 4", None)[:2] == (4, "on\n")


def test_ctrl_c_is_passed_on(ran: Ran) -> None:
    """The child hears the first one, and ends as it likes; a second one ends it."""
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert ran("trap 'exit 5' INT; while :; do sleep 0.1; done")[0] == 5


def printing(scratch: Path, script: str, daemon: bool) -> int:
    """Start a root's command whose child runs this script.

    Return when text of it was shown: now root's process takes signals.
    """
    scratch.chmod(0o777)
    python, shown = scratch / "python", scratch / "shown"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)

    def run() -> None:
        sys.executable = str(python)
        sys.stdout = open(shown, "w", encoding="utf-8")  # noqa: SIM115
        os._exit(
            unprivileged_child.run(
                OTHER, {"directory": scratch, "host": None}, ["logs"], ChildLimits(daemon=daemon)
            )
        )

    process = forked(run)
    until(lambda: shown.exists() and shown.stat().st_size, what="text of the child")
    return process


@pytest.mark.parametrize("daemon", [False, True])
def test_one_ctrl_c_is_enough(scratch: Path, daemon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that prints for ever and ignores Ctrl-C is killed soon.

    Root's command ends as by Ctrl-C. A daemon may drain.
    """
    monkeypatch.setattr(child_output, "_END", 0.5)
    heeds = "'touch drains; sleep 3; touch drained; exit 5'" if daemon else "''"
    process = printing(scratch, f"cd {scratch}\ntrap {heeds} INT\nwhile :; do echo x; done", daemon)
    os.kill(process, signal.SIGINT)
    assert end(process) == (5 if daemon else -signal.SIGINT)
    assert (scratch / "drained").exists() == daemon


@pytest.mark.parametrize("times", [2, 3])
def test_a_daemon_hears_the_second_ctrl_c_as_well(scratch: Path, times: int) -> None:
    """It gives its tasks back then, and ends by itself; the third one ends it."""
    heeds = f"echo x >>{scratch}/heard; [ $(wc -l <{scratch}/heard) -lt {times} ] || exit 6"
    process = printing(
        scratch, f"trap '{heeds}' INT\nwhile :; do echo x; sleep 0.05; done", daemon=True
    )
    heard = scratch / "heard"
    for number in range(2):
        os.kill(process, signal.SIGINT)
        until(
            lambda number=number: heard.exists() and heard.read_text().count("x") > number,  # type: ignore[misc]
            what="a signal",
        )
    if times == 3:
        os.kill(process, signal.SIGINT)
    assert end(process) == (6 if times == 2 else -signal.SIGINT)
    assert heard.read_text().count("x") == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_child_ends_root_too(scratch: Path, number: int) -> None:
    """Whoever has sent it sees its effect."""
    scratch.chmod(0o755)
    python = scratch / "python"
    python.write_text(f"#!/bin/sh\n: >{scratch}/began\nexec sleep 60\n", encoding="utf-8")
    python.chmod(0o755)
    scratch.chmod(0o777)

    def run() -> None:
        sys.executable = str(python)
        unprivileged_child.run(OTHER, {"directory": scratch, "host": None}, ["logs"], ChildLimits())

    process = forked(run)
    until(lambda: (scratch / "began").exists(), 60, "the child")
    os.kill(process, number)
    assert end(process) == -number


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT, signal.SIGRTMIN + 3]
)
def test_a_signal_of_the_users_own_ends_the_child_alone(ran: Ran, number: int) -> None:
    """Any process of that user can kill the child.

    Root's command says so, and leaves no dump of root's memory.
    """
    code, _, err = ran(f"kill -{int(number)} $$")
    assert (code, err.startswith("the command was ended by ")) == (128 + number, True)


def test_a_reader_that_has_seen_enough_ends_the_child(scratch: Path) -> None:
    """As with head: nothing is left running."""
    scratch.chmod(0o777)
    python = scratch / "python"
    python.write_text(f"#!/bin/sh\necho $$ >{scratch}/pid\nyes\n", encoding="utf-8")
    python.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from warren.system.users import User\n"
        "from warren.cli import unprivileged_child as child\n"
        f"interpreter, sys.executable = sys.executable, {str(python)!r}\n"
        f"user = User({OTHER.uid}, {OTHER.gid})\n"
        "child.run(user, {'directory': Path('/'), 'host': None}, ['logs'], child.ChildLimits())\n"
    )
    arguments: list[Any] = [
        "/bin/bash",
        "-o",
        "pipefail",
        "-c",
        f'"{sys.executable}" -c "$CODE" | head -n 2',
    ]
    done = run_to_end(arguments, env={**os.environ, "CODE": code}, capture_output=True)
    assert done.stdout == "y\ny\n", done.stderr
    pid = int((scratch / "pid").read_text(encoding="ascii"))
    until(lambda: not Path(f"/proc/{pid}").exists(), 60, "the end of the child")
