"""The daemons in the background of a host without systemd: `--detach`, `--stop`, `--user`."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.forks import child, end
from support.suite import ENVIRONMENT, WARREN, Suite, descendants
from support.wait import end_of, result_of, run_to_end, until
from warren.cli.user import become
from warren.config import load
from warren.errors import CannotWrite, WarrenError
from warren.runtime.daemonize import into_background
from warren.system.lock_holder import lock_holder
from warren.system.process import Process, process_of

JOBS = '''
import os, time
from celery import shared_task

@shared_task(name="jobs.wait", bind=True)
def wait(self, directory):
    """Says that it began, then waits for a file named go."""
    open(f"{directory}/began", "w").close()
    end = time.monotonic() + 600
    while time.monotonic() < end and not os.path.exists(f"{directory}/go"):
        time.sleep(0.02)
    return "done"
'''
SCRIPT = Path(__file__).parents[2] / "examples" / "sysv" / "warren"
INI = (
    "[supervise]\nstart_timeout = 300s\n[quota-watchdog]\nenabled = false\n[worker:a]\nconcurrency "
    "= {children}\n"
)


@pytest.fixture
def suite(scratch: Path) -> Iterator[Suite]:
    """Yield a suite of one worker.

    Whatever was started in the background has ended when the test is over.
    """
    made = Suite(scratch, INI.format(children=1), modules="jobs")
    made.module("jobs", JOBS)
    yield made
    family = [
        member
        for lock in (scratch / "run").glob("*.lock")
        if (pid := lock_holder(lock))
        for member in descendants(pid)
    ]
    for member in family:
        if member.alive:
            os.kill(member.pid, signal.SIGKILL)
    until(
        lambda: not any(member.alive for member in family), what="the end of all that was started"
    )


def detached(suite: Suite, *arguments: str) -> Process:
    """Starts it in the background; the daemon by its pid file."""
    done = suite.warren(*arguments, "--detach")
    assert (done.returncode, done.stderr) == (0, "")
    return daemon(suite, "supervisord" if arguments == ("supervise",) else "-".join(arguments))


def daemon(suite: Suite, program: str = "worker-a") -> Process:
    text = (suite.directory / "run" / f"{program}.pid").read_text(encoding="ascii")
    assert re.fullmatch(r"\d+\n", text)
    found = process_of(int(text))
    assert found is not None
    return found


def fact(process: Process, name: str) -> str:
    """A line of /proc/PID/status."""
    (found,) = re.findall(
        rf"^{name}:\s*(.*)$",
        Path(f"/proc/{process.pid}/status").read_text(encoding="ascii"),
        re.MULTILINE,
    )
    return str(found)


def terminal(process: Process) -> int:
    """Its controlling terminal; 0 for none (proc(5), field 7)."""
    return int(Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()[4])


def ancestors(pid: int) -> set[int]:
    found = {pid}
    while pid > 1:
        pid = int(
            re.findall(
                r"^PPid:\s*(\d+)",
                Path(f"/proc/{pid}/status").read_text(encoding="ascii"),
                re.MULTILINE,
            )[0]
        )
        found.add(pid)
    return found


def ended(process: Process) -> bool:
    return not process.alive


def test_it_is_a_daemon_in_every_respect_and_ready(suite: Suite) -> None:
    """When the command returns, the worker is ready, in a session of its own.

    It has no file, directory or mask of the caller's.
    """
    leak = (suite.directory / "leak").open("w", encoding="ascii")
    command = [str(WARREN), "--config", str(suite.etc), "worker", "a", "--detach"]
    with leak:
        done = run_to_end(
            command, env=ENVIRONMENT, capture_output=True, pass_fds=[leak.fileno()], umask=0
        )
    found = daemon(suite)
    assert (done.returncode, done.stderr, done.stdout) == (
        0,
        "",
        f"worker-a is ready, process {found.pid}\n",
    )
    heartbeat = suite.heartbeat("worker-a")
    assert heartbeat is not None
    assert (heartbeat["pid"], heartbeat["state"]) == (found.pid, "ready")
    assert int(fact(found, "PPid")) in {1, *ancestors(os.getpid())}
    # no session leader: it can never get a terminal
    assert os.getsid(found.pid) not in (
        os.getsid(0),
        found.pid,
    )
    assert terminal(found) == 0
    assert Path(f"/proc/{found.pid}/cwd").readlink() == suite.directory / "state"
    assert fact(found, "Umask") == "0077"
    files = {
        int(entry.name): str(entry.readlink()) for entry in Path(f"/proc/{found.pid}/fd").iterdir()
    }
    capture = str(suite.directory / "log" / "worker-a.out")
    assert (files[0], files[1], files[2]) == ("/dev/null", capture, capture)
    assert str(suite.directory / "leak") not in files.values()
    made = [
        path
        for name in ("log", "run", "state")
        for path in (suite.directory / name).rglob("*")
        if path.exists()
    ]
    assert not [path for path in made if path.stat().st_mode & 0o027]


def test_it_survives_the_end_of_its_terminal(suite: Suite) -> None:
    """The terminal closes after the start: the daemon continues and has none."""
    ours, theirs = os.openpty()
    command = [
        "setsid",
        "--ctty",
        "--wait",
        str(WARREN),
        "--config",
        str(suite.etc),
        "worker",
        "a",
        "--detach",
    ]
    try:
        caller = subprocess.Popen(
            command, env=ENVIRONMENT | {"TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
        )
        assert end_of(caller) == 0
        assert b"worker-a is ready" in os.read(ours, 65536)
    finally:
        os.close(theirs)
        os.close(ours)
    found = daemon(suite)
    heartbeat = suite.heartbeat("worker-a")
    until(lambda: suite.heartbeat("worker-a") != heartbeat, what="another heartbeat")
    assert terminal(found) == 0
    assert suite.warren("worker", "a", "--stop").returncode == 0


def test_a_second_start_is_refused_and_harms_nothing(suite: Suite) -> None:
    """The caller reads why, gets 76, and the first one continues with its pid file."""
    first = detached(suite, "worker", "a")
    for _ in range(2):  # the second one must not repeat what the first one was told
        done = suite.warren("worker", "a", "--detach")
        assert done.returncode == 76
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"another worker-a runs on this host, process {first.pid}")
    assert daemon(suite) == first


def test_a_suite_without_programs_is_ready_when_it_runs(suite: Suite) -> None:
    """The command waits for no heartbeat.

    A second daemon is refused all the same, rather than reported as ready.
    """
    suite.write("[quota-watchdog]\nenabled = false\n[beat]\nenabled = false\n")
    detached(suite, "supervise")
    assert suite.warren("supervise", "--detach").returncode == 76


def test_a_killed_daemon_is_no_obstacle(suite: Suite) -> None:
    """kill -9 leaves a pid file and a lock file behind; the next start does not mind."""
    first = detached(suite, "worker", "a")
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: ended(first), what="its end")
    assert (suite.directory / "run" / "worker-a.pid").exists()
    assert detached(suite, "worker", "a") != first


def test_wrong_settings_are_said_to_the_caller(suite: Suite) -> None:
    """Exit code 78 with the place of the mistake, and nothing was made."""
    suite.write("[worker:a]\nqueue = x\n")
    done = suite.warren("worker", "a", "--detach")
    assert done.returncode == 78
    assert f"{suite.etc}/warren.ini:" in done.stderr
    assert not (suite.directory / "log").exists()
    done = suite.warren("worker", "../b", "--detach")
    assert done.returncode == 78


def test_what_only_the_daemon_finds_is_said_to_the_caller_too(suite: Suite) -> None:
    """A module that cannot be imported gives the daemon's own message and exit code.

    No pid file stays.
    """
    suite.module("jobs", "import no_such_module")
    done = suite.warren("worker", "a", "--detach")
    assert done.returncode == 78
    assert "no_such_module" in done.stderr
    assert not (suite.directory / "run" / "worker-a.pid").exists()


def test_a_daemon_that_is_killed_while_it_starts_is_a_failure(suite: Suite) -> None:
    """The caller gets 70, and learns of the signal."""
    suite.module("jobs", "import os\nos.kill(os.getpid(), 9)")
    done = suite.warren("worker", "a", "--detach")
    assert done.returncode == 70
    assert "signal 9" in done.stderr


def test_a_broker_that_is_away_does_not_hold_the_caller(suite: Suite) -> None:
    """After start_timeout the caller is told what is missing; the daemon continues trying."""
    suite.write(
        "[broker]\nurl = redis://127.0.0.1:1/0\n[supervise]\nstart_timeout = "
        "1s\n[worker:a]\nconcurrency = 1\n"
    )
    done = suite.warren("worker", "a", "--detach")
    assert done.returncode == 0
    assert "is not ready after 1 s: worker-a " in done.stderr
    until(
        lambda: (suite.heartbeat("worker-a") or {}).get("state") == "connecting", what="it to try"
    )


def test_ctrl_c_while_it_waits_says_that_the_daemon_continues(suite: Suite) -> None:
    """Who gives up waiting has not stopped the daemon, and is told so."""
    suite.write(
        "[broker]\nurl = redis://127.0.0.1:1/0\n[supervise]\nstart_timeout = "
        "300s\n[worker:a]\nconcurrency = 1\n"
    )
    with suite.running("worker", "a", "--detach") as caller:
        until(
            lambda: (suite.heartbeat("worker-a") or {}).get("state") == "connecting",
            what="it to try",
        )
        caller.send_signal(signal.SIGINT)
        assert end_of(caller) == 1
        found = daemon(suite)
        assert suite.output("worker", "a", "--detach").endswith(
            f"worker-a: process {found.pid} continues in the background; --stop ends the process\n"
        )
        assert found.alive


def test_stop_lets_the_running_task_finish(suite: Suite, app: Any) -> None:
    """--stop drains as SIGTERM does, and returns when the daemon has ended.

    Its pid file is gone.
    """
    found = detached(suite, "worker", "a")
    result = app.send_task("jobs.wait", [str(suite.directory)])
    until(lambda: (suite.directory / "began").exists(), what="the task to begin")
    with suite.running("worker", "a", "--stop") as stopping:
        suite.await_event("worker", "stopping", reason="asked to stop")
        assert stopping.poll() is None
        (suite.directory / "go").touch()
        assert end_of(stopping) == 0
    assert ended(found)
    assert result_of(result) == "done"
    assert not (suite.directory / "run" / "worker-a.pid").exists()


def test_stop_believes_no_pid_file(suite: Suite) -> None:
    """The pid file of a killed daemon names another process by now.

    That process is not hurt, and there is nothing to stop.
    """
    (suite.directory / "run").mkdir()
    with subprocess.Popen(["sleep", "infinity"]) as other:
        (suite.directory / "run" / "beat.pid").write_text(f"{other.pid}\n", encoding="ascii")
        done = suite.warren("beat", "--stop")
        assert (done.returncode, done.stdout) == (0, "beat does not run\n")
        assert other.poll() is None
        other.kill()


def test_new_settings_start_it_again_each_time(suite: Suite) -> None:
    """No supervisor starts it again: after SIGHUP the same process continues.

    It has the new settings.
    """
    found = detached(suite, "worker", "a")
    for count, children in enumerate((2, 3), 2):
        suite.write(INI.format(children=children))
        os.kill(found.pid, signal.SIGHUP)
        ready = until(
            lambda count=count: suite.logged("worker", "ready")[count - 1 :],  # type: ignore[misc]
            what="it to be ready again",
        )
        assert ready[0]["concurrency"] == children
        assert daemon(suite) == found
    assert suite.warren("worker", "a", "--stop").returncode == 0


def test_the_whole_suite_goes_into_the_background(suite: Suite) -> None:
    """`supervise --detach` returns when every program is ready; a second one is refused.

    --stop leaves nothing.
    """
    found = detached(suite, "supervise")
    heartbeats = [suite.heartbeat(program) for program in ("beat", "worker-a")]
    assert all(
        heartbeat is not None and heartbeat["state"] in ("ready", "standby")
        for heartbeat in heartbeats
    )
    assert suite.warren("supervise", "--detach").returncode == 76
    family = descendants(found.pid)
    assert len(family) > 2
    done = suite.warren("supervise", "--stop")
    assert (done.returncode, done.stdout) == (0, "supervisord has stopped\n")
    assert not [member for member in family if member.alive]
    assert not (suite.directory / "run" / "supervisord.pid").exists()


def test_a_caller_without_streams_or_under_supervisord_changes_nothing(suite: Suite) -> None:
    """With closed streams and in a supervised shell the daemon is the same, and stays.

    Some init scripts have such streams.
    """
    line = f"exec {WARREN} --config {suite.etc} beat --detach <&- >&- 2>&-"
    done = run_to_end(["sh", "-c", line], env=ENVIRONMENT | {"SUPERVISOR_ENABLED": "1"})
    assert done.returncode == 0
    found = daemon(suite, "beat")
    assert Path(f"/proc/{found.pid}/fd/0").readlink() == Path("/dev/null")
    heartbeat = suite.heartbeat("beat")
    until(lambda: suite.heartbeat("beat") != heartbeat, what="another heartbeat")
    assert not suite.logged("beat", "supervisor_lost")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_root_gives_up_its_rights_for_good() -> None:
    """--user: user, group, groups and home are those of the user, and there is no way back."""
    nobody = pwd.getpwnam("nobody")
    groups = set(os.getgrouplist("nobody", nobody.pw_gid))

    def look() -> None:
        become("nobody")
        assert os.getresuid() == (nobody.pw_uid,) * 3
        assert os.getresgid() == (nobody.pw_gid,) * 3
        assert set(os.getgroups()) == groups
        assert (os.environ["HOME"], os.environ["USER"]) == (nobody.pw_dir, "nobody")
        become("nobody")  # who it is already
        with pytest.raises(WarrenError, match="expected to be root, found user"):
            become("root")
        with pytest.raises(PermissionError):
            os.setuid(0)

    assert end(child(look)) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act for somebody else")
@pytest.mark.parametrize("verb", [("beat",), ("supervise",), ("supervise", "--detach")])
def test_root_is_refused_where_the_state_is_of_another(suite: Suite, verb: tuple[str, ...]) -> None:
    """What root makes in the state of a user, that user's suite could not write to.

    So nothing is started, and the remedy is named.
    """
    state = suite.directory / "state"
    state.mkdir(exist_ok=True)
    os.chown(state, pwd.getpwnam("nobody").pw_uid, -1)
    done = suite.warren(*verb)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "because the directory is of user nobody; call warren start, or add --user nobody\n"
    )
    assert not list(state.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("option", ["state_dir", "log_dir"])
def test_a_directory_that_the_user_cannot_make(suite: Suite, scratch: Path, option: str) -> None:
    """--detach --user without the directories names the missing one, and nothing starts.

    It names the option and the user as well.
    """
    scratch.chmod(0o755)
    directories = {name: scratch / name for name in ("state_dir", "log_dir")}
    for directory in directories.values():
        directory.mkdir()
        os.chown(directory, pwd.getpwnam("nobody").pw_uid, -1)
    settings = load(suite.etc)
    app = settings.app.model_copy(update=directories | {option: scratch / "of root" / "directory"})

    def refused() -> None:
        become("nobody")
        with pytest.raises(
            CannotWrite,
            match=rf"^{scratch}/of root/directory.*as nobody: .*set \[app\] {option}$",
        ):
            into_background(settings.model_copy(update={"app": app}), "beat", ["beat"])

    assert end(child(refused)) == 0


def test_a_user_that_cannot_be_is_refused(suite: Suite) -> None:
    """An unknown user: a message, and nothing starts as somebody else."""
    done = suite.warren("beat", "--detach", "--user", "no-such-user")
    assert done.returncode == 1
    assert "expected a user of this host, found 'no-such-user'" in done.stderr
    assert not (suite.directory / "run").exists()


def test_the_init_script_does_what_its_words_say(suite: Suite) -> None:
    """examples/sysv/warren works as an init system calls it.

    The calls are start (twice), status, reload, restart, stop (twice).
    """
    user = pwd.getpwuid(os.geteuid()).pw_name
    defaults = suite.directory / "default"
    arguments = {
        "WARREN": WARREN,
        "WARREN_USER": user,
        "RUN_DIR": suite.directory / "run",
        "WARREN_CONFIG": suite.etc,
    }
    defaults.write_text(
        "".join(f"export {name}={value}\n" for name, value in arguments.items()), encoding="utf-8"
    )

    def script(word: str) -> int:
        environment = ENVIRONMENT | {"WARREN_DEFAULTS": str(defaults)}
        return run_to_end(
            [str(SCRIPT), word], env=environment, capture_output=True, within=600
        ).returncode

    assert script("status") == 3
    assert script("start") == 0
    first = daemon(suite, "supervisord")
    assert script("start") == 0
    assert daemon(suite, "supervisord") == first
    until(
        lambda: script("status") == 0,
        what="supervisord to call every program RUNNING, which takes it some seconds",
    )
    assert script("reload") == 0
    suite.await_event("supervisord", "reloaded")
    assert script("restart") == 0
    assert ended(first)
    assert daemon(suite, "supervisord") != first
    assert script("stop") == 0
    assert script("stop") == 0
    assert script("status") == 3
    assert script("nonsense") == 2
