"""`warren supervise` as a real process with the real daemons."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.suite import Suite, descendants
from support.wait import until
from warren.config import Settings, load
from warren.errors import Unavailable, WarrenError
from warren.process import Process, of
from warren.supervise import client

QUIET = "[quota-watchdog]\nenabled = false\n"
INI = QUIET + "[worker:a]\nconcurrency = 1\n"
SHIPPED = Path(__file__).parents[2] / "etc" / "warren" / "supervisord.conf"
TASK = "from celery import shared_task\n@shared_task(name='jobs.tick')\ndef tick():\n    pass\n"


def make(folder: Path) -> Suite:
    made = Suite(folder, INI, modules="jobs")
    made.module("jobs", TASK)
    return made


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A suite that does not run yet, for tests that start it or change what it runs."""
    return make(scratch)


@contextmanager
def supervised(suite: Suite) -> Iterator[Process]:
    """The supervisord of a suite that is ready; when the block ends, nothing of it is left."""
    before = len(suite.logged("supervisord", "ready"))
    with suite.running("supervise") as started:
        until(lambda: len(suite.logged("supervisord", "ready")) > before, 40, f"ready; {suite.output('supervise')}")
        found = of(started.pid)
        assert found is not None
        yield found


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[Suite, Process]]:
    """A suite that runs with its supervisord, for tests that leave it as they found it."""
    with TemporaryDirectory(prefix="warren-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        made = make(Path(folder))
        shutil.copy(SHIPPED, made.etc)  # the others run without a file of their own
        old = os.umask(0)  # the weakest that there is
        try:
            with supervised(made) as supervisor:
                os.umask(old)
                yield made, supervisor
        finally:
            os.umask(old)


def settings(suite: Suite) -> Settings:
    return load(suite.etc)


def programs(suite: Suite) -> dict[str, client.Program]:
    return {program.program: program for program in client.programs(settings(suite))}


def reload(suite: Suite, supervisor: Process, event: str = "reloaded") -> None:
    """Sends SIGHUP and waits for the answer."""
    before = len(suite.logged("supervisord", event))
    os.kill(supervisor.pid, signal.SIGHUP)
    until(lambda: len(suite.logged("supervisord", event)) > before, 20, event)


def test_the_suite_starts_and_stops_in_order(suite: Suite) -> None:
    """Ready is said when every program runs; SIGTERM ends all, leaves nothing behind, and the code is 0."""
    with suite.running("supervise") as started:
        ready = suite.await_event("supervisord", "ready", 40)
        assert sorted(ready["programs"]) == ["beat", "worker-a"]
        found = programs(suite)
        assert {program.state for program in found.values()} == {"RUNNING"}
        family = descendants(started.pid)
        assert {found["beat"].pid, found["worker-a"].pid} < {member.pid for member in family}
        started.terminate()
        assert started.wait(40) == 0
    assert not any(member.alive for member in family)
    assert [line["event"] for line in suite.log("supervisord")][-1] == "stopped"
    assert not (suite.folder / "run" / "supervisor.sock").exists()
    assert not (suite.folder / "run" / "supervisord.pid").exists()


def test_workers_stop_side_by_side(suite: Suite) -> None:
    """Beat stops before the workers, they all drain at once, and the watchdog is there until the last one has ended."""
    suite.write("[worker:a]\nconcurrency = 1\n[worker:b]\nconcurrency = 1\n")
    with supervised(suite):
        pass
    stopped = [line["program"] for line in suite.log("supervisord") if line.get("message", "").startswith("stopped: ")]
    assert (stopped[0], stopped[-1], len(stopped)) == ("beat", "quota-watchdog", 4)
    drained = [line["event"] for line in suite.log("worker") if line["event"] in ("stopping", "stopped")]
    assert drained == ["stopping", "stopping", "stopped", "stopped"]


def test_nobody_else_can_look_or_meddle(standing: tuple[Suite, Process]) -> None:
    """The folders, the socket, the logs and the capture files are closed to other users, whatever the umask was."""
    folder = standing[0].folder
    assert (folder / "run" / "supervisor.sock").stat().st_mode & 0o777 == 0o700
    made = [path for name in ("run", "log", "state") for path in (folder / name, *(folder / name).rglob("*"))]
    assert len(made) > 10
    assert [path for path in made if path.exists() and path.stat().st_mode & 0o027] == []


def test_no_word_of_supervisord_is_noise_or_no_json(suite: Suite) -> None:
    """supervisord says nothing on stdout or stderr, nothing that sounds worse than it is, and no secret."""
    suite.write("[broker]\nurl = redis://user:s3cret@127.0.0.1:1/0\nconnect_timeout = 100ms\n" + INI)
    with supervised(suite):
        assert suite.output("supervise") == ""
    assert {line["level"] for line in suite.log("supervisord")} <= {"info", "warning"}
    assert "s3cret" not in "".join(path.read_text() for path in (suite.folder / "log").iterdir())


def test_a_second_supervisor_is_refused(standing: tuple[Suite, Process]) -> None:
    """A run folder has one supervisord: another one ends with 76 and says which process is in its way."""
    suite, supervisor = standing
    before = programs(suite)
    second = suite.warren("supervise")
    assert second.returncode == 76
    assert str(supervisor.pid) in second.stderr
    assert programs(suite) == before


@pytest.mark.parametrize(
    ("ini", "places"),
    [
        ("[worker:a]\nconcurency = 1\nprefetch = many\n[beet]\n", ["concurency", "prefetch", "[beet]"]),
        ("[schedule:s]\ntask = jobs.none\nevery = 5s\n", ["jobs.none"]),
    ],
)
def test_nothing_starts_on_a_bad_file(suite: Suite, ini: str, places: list[str]) -> None:
    """Every problem is said, those with the task modules too; the code is 78 and not even a folder is made."""
    suite.write(QUIET + ini)
    ended = suite.warren("supervise")
    assert ended.returncode == 78
    assert all(place in ended.stderr for place in places), ended.stderr
    assert not (suite.folder / "run").exists()


def unwritable_folder(suite: Suite) -> str:
    suite.head = suite.head.replace(f"{suite.folder}/state", "/proc/warren")
    return "/proc/warren"


def unwritable_log(suite: Suite) -> str:
    path = suite.folder / "log" / "supervisord.log"
    path.mkdir(parents=True)
    return str(path)


@pytest.mark.parametrize("spoil", [unwritable_folder, unwritable_log])
def test_what_cannot_be_written_is_said_at_the_start(suite: Suite, spoil: Callable[[Suite], str]) -> None:
    """A folder or log that cannot be written ends the start with 73 and a line that names it."""
    where = spoil(suite)
    suite.write(INI)
    ended = suite.warren("supervise")
    assert ended.returncode == 73
    assert where in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_killed_daemon_is_back(standing: tuple[Suite, Process]) -> None:
    """After kill -9 a daemon runs again, and the log says what happened to which program."""
    suite, _ = standing
    killed = programs(suite)["worker-a"].pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    line = suite.await_event("supervisord", "supervisor_record", program="worker-a", signal="SIGKILL")
    assert line["level"] == "warning"
    assert line["expected"] is False
    until(lambda: programs(suite)["worker-a"].state == "RUNNING", 20, "another worker")
    assert programs(suite)["worker-a"].pid != killed


def test_a_killed_supervisor_leaves_nothing_in_the_way(suite: Suite) -> None:
    """After kill -9 of supervisord the suite can be started again at once."""
    with supervised(suite) as supervisor:
        os.kill(supervisor.pid, signal.SIGKILL)
        until(lambda: not supervisor.alive, 10)
        with supervised(suite):
            assert {program.state for program in programs(suite).values()} == {"RUNNING"}
            assert suite.output("supervise") == ""


def test_a_reload_touches_only_what_changed(suite: Suite) -> None:
    """A new worker starts, a removed daemon stops, and the others keep running."""
    with supervised(suite) as supervisor:
        kept = programs(suite)["worker-a"].pid
        suite.write(INI + "[worker:b]\nconcurrency = 1\n[beat]\nenabled = false\n")
        reload(suite, supervisor)
        [line] = suite.logged("supervisord", "reloaded")
        assert (line["added"], line["changed"], line["removed"]) == (["worker-b"], [], ["beat"])
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, 20, "ready again")
        assert sorted(programs(suite)) == ["worker-a", "worker-b"]
        assert programs(suite)["worker-a"].pid == kept
        assert sorted(path.name for path in (suite.folder / "run" / "supervisor").iterdir()) == ["worker-a.conf", "worker-b.conf"]


def test_a_reload_exchanges_a_program_that_is_run_in_another_way(suite: Suite) -> None:
    """A worker that needs another supervision, such as more time to stop, is stopped in order and started with it."""
    with supervised(suite) as supervisor:
        before = programs(suite)["worker-a"].pid
        suite.write(INI + "stop_timeout = 50s\n")
        reload(suite, supervisor)
        assert suite.logged("supervisord", "reloaded")[0]["changed"] == ["worker-a"]
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, 20, "ready again")
        assert programs(suite)["worker-a"].pid not in (None, before)
        assert "stopwaitsecs = 60" in (suite.folder / "run" / "supervisor" / "worker-a.conf").read_text()


def test_a_reload_that_is_taken_back_at_once_leaves_the_last_word(suite: Suite) -> None:
    """A program that one reload removes and the next one brings back runs in the end."""
    with supervised(suite) as supervisor:
        suite.write(INI + "enabled = false\n")
        reload(suite, supervisor)
        suite.write(INI)
        reload(suite, supervisor)
        until(lambda: programs(suite).get("worker-a", None) and programs(suite)["worker-a"].state == "RUNNING", 20, "worker-a")


def test_daemons_that_stay_are_told(standing: tuple[Suite, Process]) -> None:
    """A reload that changes no program reaches the daemons, who take up the new settings by themselves."""
    suite, supervisor = standing
    before = programs(suite)["beat"].pid

    def last() -> list[bool]:
        """Whether the entry was there at the latest reload of beat."""
        return ["s" in line["entries"] for line in suite.logged("beat", "reloaded")][-1:]

    suite.write(INI + "[schedule:s]\ntask = jobs.tick\nevery = 1h\n")
    reload(suite, supervisor)
    until(lambda: last() == [True], 20, "beat to take up the entry")
    suite.write(INI)
    reload(suite, supervisor)
    until(lambda: last() == [False], 20, "beat to drop the entry")
    assert programs(suite)["beat"].pid == before


def refused(suite: Suite) -> list[str]:
    return [line["problem"] for line in suite.logged("supervisord", "reload_refused")]


def test_a_bad_reload_changes_nothing(standing: tuple[Suite, Process]) -> None:
    """A reload with a bad file logs every problem and leaves every program, and every rendered file, as it was."""
    suite, supervisor = standing
    folder = suite.folder / "run" / "supervisor"
    before, files = programs(suite), {path: path.read_text() for path in folder.iterdir()}
    suite.write(QUIET + "[worker:b]\nconcurency = 1\n[worker:c]\nprefetch = many\n")
    os.kill(supervisor.pid, signal.SIGHUP)
    until(lambda: any("concurency" in text for text in refused(suite)), 20, "the first problem")
    until(lambda: any("[worker:c] prefetch" in text for text in refused(suite)), 20, "the second problem")
    suite.write(INI)
    assert programs(suite) == before
    assert {path: path.read_text() for path in folder.iterdir()} == files


def test_a_bad_file_of_the_operator_changes_nothing_either(suite: Suite) -> None:
    """A reload with a wrong file in supervisor.d is refused, and the rendered programs stay as they were."""
    with supervised(suite) as supervisor:
        files = sorted((suite.folder / "run" / "supervisor").iterdir())
        (suite.etc / "supervisor.d").mkdir()
        (suite.etc / "supervisor.d" / "own.conf").write_text("[program:own]\n")
        suite.write(INI + "[worker:b]\nconcurrency = 1\n")
        reload(suite, supervisor, "reload_refused")
        assert "own.conf" in refused(suite)[0]
        assert sorted((suite.folder / "run" / "supervisor").iterdir()) == files
        (suite.etc / "supervisor.d" / "own.conf").write_text("[program:own]\ncommand = sleep 60\n")
        reload(suite, supervisor)
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, 20, "ready again")
        assert sorted(programs(suite)) == ["beat", "own", "worker-a", "worker-b"]


def test_the_run_folder_cannot_move_under_a_running_suite(standing: tuple[Suite, Process]) -> None:
    """Another run_dir needs a stop: the reload is refused and says so."""
    suite, supervisor = standing
    head = suite.head
    suite.head = head.replace(f"{suite.folder}/run", f"{suite.folder}/elsewhere")
    suite.write(INI)
    os.kill(supervisor.pid, signal.SIGHUP)
    until(lambda: any("run_dir" in text and "stop the suite" in text for text in refused(suite)), 20, "the refusal")
    suite.head = head
    suite.write(INI)
    assert not (suite.folder / "elsewhere").exists()


def test_a_final_exit_code_is_not_tried_again_until_a_reload(suite: Suite) -> None:
    """A daemon whose configuration went wrong ends once, not for ever, and runs again after a reload that mends it."""
    with supervised(suite) as supervisor:
        suite.module("jobs", "raise ImportError('gone')\n")
        os.kill(programs(suite)["worker-a"].pid or 0, signal.SIGKILL)
        given_up = suite.await_event("supervisord", "supervisor_record", program="worker-a", state="FATAL")
        assert "78" in given_up["message"]
        assert len(suite.logged("supervisord", "supervisor_record", program="worker-a", exit_status=78)) == 1
        assert programs(suite)["worker-a"].exit_status == 78
        suite.module("jobs", "")
        reload(suite, supervisor)
        until(lambda: programs(suite)["worker-a"].state == "RUNNING", 20, "the worker to run")


def test_the_state_can_be_asked_for(standing: tuple[Suite, Process]) -> None:
    """SIGUSR1 logs the state of every program."""
    suite, supervisor = standing
    os.kill(supervisor.pid, signal.SIGUSR1)
    line = suite.await_event("supervisord", "state_dumped")
    assert sorted(each["program"] for each in line["programs"]) == ["beat", "worker-a"]
    assert {each["state"] for each in line["programs"]} <= {"RUNNING", "STARTING", "BACKOFF"}


def test_the_client_commands_programs(standing: tuple[Suite, Process]) -> None:
    """Programs can be stopped, started and restarted by name, twice in a row too; what was stopped stays so in a reload."""
    suite, supervisor = standing
    given, before = settings(suite), programs(suite)["beat"].pid
    for _ in range(2):
        client.stop(given, "beat")
    assert programs(suite)["beat"].state == "STOPPED"
    assert programs(suite)["beat"].exit_status == 0
    reload(suite, supervisor)
    assert programs(suite)["beat"].state == "STOPPED"
    for _ in range(2):
        client.start(given, "beat")
    again = programs(suite)["beat"]
    assert (again.state, again.exit_status) == ("RUNNING", None)
    client.restart(given, "beat")
    assert programs(suite)["beat"].pid not in (None, before, again.pid)


def test_the_client_refuses_what_does_not_exist(standing: tuple[Suite, Process]) -> None:
    """A program that this host does not have is named in the refusal."""
    with pytest.raises(WarrenError, match="nonesuch"):
        client.stop(settings(standing[0]), "nonesuch")


def test_the_client_says_when_there_is_nobody_to_ask(suite: Suite) -> None:
    """Without supervisord the answer is Unavailable, with what to do."""
    with pytest.raises(Unavailable, match="warren supervise"):
        client.programs(settings(suite))


def test_the_client_does_not_wait_for_ever(standing: tuple[Suite, Process], monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisord that hangs makes the client Unavailable in the end, too."""
    suite, supervisor = standing
    monkeypatch.setattr(client, "PATIENCE", 0.2)
    os.kill(supervisor.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="timed out"):
            client.programs(settings(suite))
    finally:
        os.kill(supervisor.pid, signal.SIGCONT)


def test_the_client_can_end_the_suite(suite: Suite) -> None:
    """A shutdown by the client is the same as SIGTERM: in order, with code 0."""
    with suite.running("supervise") as started:
        suite.await_event("supervisord", "ready", 40)
        assert client.supervisor_pid(settings(suite)) == started.pid
        client.shutdown(settings(suite))
        assert started.wait(40) == 0


def test_a_request_to_start_anew_ends_with_the_code_that_means_it(suite: Suite) -> None:
    """supervisorctl reload stops all in order and ends with 75, at which systemd starts the suite again."""
    with suite.running("supervise") as started:
        suite.await_event("supervisord", "ready", 40)
        socket = suite.folder / "run" / "supervisor.sock"
        ctl = Path(sys.executable).with_name("supervisorctl")
        subprocess.run([ctl, "-s", f"unix://{socket}", "reload"], check=True, stdout=subprocess.DEVNULL)
        assert started.wait(40) == 75
