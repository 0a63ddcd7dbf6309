"""`warren reload` and rolling restarts, on a real suite."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from support.suite import ENVIRONMENT, WARREN, Suite, children
from support.supervised import INI, QUIET, programs, settings, supervised
from support.wait import end_of, output_of, until
from warren.app.factory import make_app
from warren.errors import ExitCode
from warren.system.process import Process

ENTRY = "[schedule:s]\ntask = jobs.tick\nevery = 1s\n"
WATCHED = (
    "[worker:a]\nqueues = default, calls\n[queue:calls]\ntasks = jobs.call\n[quota:site]\nlimit = "
    "1/h\ntasks = jobs.call\n" + ENTRY
)
JOBS = """
from celery import current_app, shared_task

@shared_task(name="jobs.tick")
def tick():
    pass

@shared_task(name="jobs.call")
def call():
    pass

@shared_task(name="jobs.sent")
def sent():
    pass

@shared_task(name="jobs.send")
def send():
    current_app.send_task("jobs.sent", queue="own")
"""
TWO = QUIET + "[worker:a]\nconcurrency = 1\n[worker:b]\nconcurrency = 1\n"


def times(suite: Suite, event: str, **fields: Any) -> dict[str, str]:
    """When each worker logged an event last."""
    return {line["program"]: line["timestamp"] for line in suite.logged("worker", event, **fields)}


def test_a_reload_returns_when_the_settings_are_in_force(
    program_status: tuple[Suite, Process],
) -> None:
    """The reload ends with 0 once an edit has reached every daemon.

    Nothing that the edit does not concern is touched.
    """
    suite, _ = program_status
    before = {name: program.pid for name, program in programs(suite).items()}
    suite.write(
        INI + "[supervise]\nstuck_timeout = 2m\n[schedule:s]\ntask = jobs.tick\nevery = 1h\n"
    )
    done = suite.warren("reload")
    assert (done.returncode, done.stdout) == (
        0,
        "the new settings are in force, and every daemon works\n",
    )
    suite.write(INI)
    done = suite.warren("reload", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"ok": True, "outcome": "applied", "problems": []},
    )
    assert {name: program.pid for name, program in programs(suite).items()} == before


def test_an_edit_leaves_alone_whom_it_does_not_concern(suite: Suite) -> None:
    """A worker, its queue and an entry are added and a limit is raised, and no process ends.

    Beat continues to lead. The task that waited for the quota runs within seconds, and a task of
    the old worker sends to the new queue.
    """
    suite.module("jobs", JOBS)
    suite.write(WATCHED)
    with supervised(suite):
        before = {name: program.pid for name, program in programs(suite).items()}
        app = make_app(settings(suite))
        app.send_task("jobs.call", ignore_result=True)
        suite.await_event("worker", "task_succeeded", task="jobs.call")
        app.send_task("jobs.call", ignore_result=True)
        suite.await_event("worker", "quota_exhausted")
        suite.write(
            WATCHED.replace("1/h", "2/h")
            + "[worker:b]\nqueues = own\n[queue:own]\n"
            + ENTRY.replace(":s", ":t")
        )
        done = suite.warren("reload")
        assert done.returncode == 0, done.stderr
        until(
            lambda: len(suite.logged("worker", "task_succeeded", task="jobs.call")) == 2,
            what="the second call",
        )
        app.send_task("jobs.send", ignore_result=True)
        suite.await_event(
            "worker", "task_succeeded", task="jobs.sent", program="worker-b", queue="own"
        )
        suite.await_event("beat", "tick_sent", entry="t")
        after = {name: program.pid for name, program in programs(suite).items()}
        assert {name: after[name] for name in before} == before
        assert len(suite.logged("beat", "leader_taken")) == 1
        ticks = [line["tick"] for line in suite.logged("beat", "tick_sent", entry="s")]
        assert ticks == sorted(set(ticks))


def test_a_wrong_edit_reaches_nobody(program_status: tuple[Suite, Process]) -> None:
    """Every problem is on stderr with file and line, and the code is 78.

    The suite was not even asked.
    """
    suite, _ = program_status
    before, refused = programs(suite), len(suite.logged("supervisord", "reload_refused"))
    suite.write(QUIET + "[worker:b]\nconcurency = 1\n[worker:c]\nprefetch = many\n")
    done = suite.warren("reload")
    told = suite.warren("reload", "--json")
    suite.write(INI)
    assert (done.returncode, done.stdout) == (78, "")
    assert "warren.ini:10" in done.stderr
    assert "[worker:c] prefetch" in done.stderr
    assert told.returncode == 78
    assert json.loads(told.stdout)["outcome"] == "refused"
    assert len(json.loads(told.stdout)["problems"]) == 2
    assert programs(suite) == before
    assert len(suite.logged("supervisord", "reload_refused")) == refused


def test_without_a_suite_there_is_nothing_to_reload(suite: Suite) -> None:
    """The command ends with 69 and says what to do.

    A programs.json of a killed suite is not taken for one that runs.
    """
    done = suite.warren("reload")
    assert (done.returncode, "warren start" in done.stderr) == (69, True)
    with supervised(suite) as supervisor:
        os.kill(supervisor.pid, signal.SIGKILL)
        until(lambda: not supervisor.alive)
        assert (suite.directory / "run" / "programs.json").exists()
        assert suite.warren("reload").returncode == 69


def test_a_suite_that_refuses_is_believed(suite: Suite) -> None:
    """What only the suite can judge comes back with its problem and its code.

    An operator's own program is an example.
    """
    with supervised(suite):
        (suite.etc / "supervisor.d").mkdir()
        (suite.etc / "supervisor.d" / "own.conf").write_text("[program:own]\n")
        done = suite.warren("reload")
        assert done.returncode == 78
        assert "own.conf" in done.stderr


def test_workers_change_one_at_a_time(suite: Suite) -> None:
    """After an edit of both workers the second stops only when the first is ready again."""
    suite.write(TWO)
    with supervised(suite):
        before = {name: program.pid for name, program in programs(suite).items()}
        # Told by SIGHUP, as the settings that only the worker knows; then by new programs, as
        # supervisord's own.
        for line in ("concurrency = 1\nprefetch = 2", "stop_timeout = 50s"):
            suite.write(TWO.replace("concurrency = 1", line))
            done = suite.warren("reload")
            assert done.returncode == 0, done.stderr
            after = {name: program.pid for name, program in programs(suite).items()}
            assert after["beat"] == before["beat"]
            assert after["worker-a"] != before["worker-a"]
            assert after["worker-b"] != before["worker-b"]
            before = after
            first, second = sorted(times(suite, "stopping").items(), key=lambda item: item[1])
            assert times(suite, "ready")[first[0]] < second[1]
    ends = suite.logged("supervisord", "supervisor_record", exit_status=ExitCode.RESTART)
    assert ends
    assert all(
        (end["level"], end["meaning"]) == ("info", ExitCode.RESTART.meaning) and end["expected"]
        for end in ends
    )


def test_a_worker_that_does_not_come_back_stops_the_roll(suite: Suite) -> None:
    """The workers after it keep their old settings and their processes.

    The command says so; the next reload continues.
    """
    suite.write(TWO)
    with supervised(suite):
        before = {name: program.pid for name, program in programs(suite).items()}
        # The check passes where the worker fails: only its own process is refused.
        suite.module(
            "jobs", "import sys\nif 'worker' in sys.argv:\n    raise ImportError('gone')\n"
        )
        suite.write(TWO.replace("concurrency = 1", "concurrency = 1\nprefetch = 2"))
        done = suite.warren("reload")
        assert done.returncode == 1, done.stderr
        assert "worker-a does not work with the new settings: " in done.stderr
        assert "these continue with the old settings: worker-b" in done.stderr
        assert programs(suite)["worker-b"].pid == before["worker-b"]
        suite.module("jobs", "")
        done = suite.warren("reload")
        assert done.returncode == 0, done.stderr
        assert programs(suite)["worker-b"].pid != before["worker-b"]


def test_a_rolling_restart_leaves_one_at_work(suite: Suite) -> None:
    """Each worker is ready again before the next one is touched.

    Beat, and a worker that is not named, are left alone.
    """
    suite.write(TWO)
    with supervised(suite):
        before = {name: program.pid for name, program in programs(suite).items()}
        done = suite.warren("restart", "--rolling", "--json")
        after = {name: program.pid for name, program in programs(suite).items()}
        assert json.loads(done.stdout)["restarted"] == ["worker-a", "worker-b"]
        assert after["beat"] == before["beat"]
        assert not {after["worker-a"], after["worker-b"]} & {before["worker-a"], before["worker-b"]}
        assert times(suite, "ready")["worker-a"] < times(suite, "stopping")["worker-b"]
        assert {program.state for program in programs(suite).values()} == {"RUNNING"}
        done = suite.warren("restart", "--rolling", "b")
        assert (done.returncode, done.stdout[:22]) == (0, "restarted worker-b in ")
        assert programs(suite)["worker-a"].pid == after["worker-a"]


def test_a_rolling_restart_stops_at_the_first_that_fails(suite: Suite) -> None:
    """The error says which worker did not come back and which were not touched.

    The failed one is tried again.
    """
    suite.write(TWO)
    with supervised(suite):
        before = programs(suite)["worker-b"].pid
        marker = suite.directory / "checked"
        # Fine for the check, which is the first to import it, and not for the worker that comes
        # after it.
        suite.module(
            "jobs",
            f"import os\nif os.path.exists({str(marker)!r}): "
            f"os._exit(1)\nopen({str(marker)!r}, 'w').close()\n",
        )
        done = suite.warren("restart", "--rolling")
        assert done.returncode == ExitCode.UNAVAILABLE
        assert "worker-a did not come back in time: exit status 1" in done.stderr
        assert "not touched: worker-b" in done.stderr
        assert programs(suite)["worker-b"].pid == before
        suite.module("jobs", "")
        until(
            lambda: programs(suite)["worker-a"].state == "RUNNING",
            what="the worker, as soon as its code is good again",
        )


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_rolling_restart_continues(suite: Suite, word: signal.Signals) -> None:
    """After Ctrl-C, a closed terminal or a kill -9 of the command the restart continues.

    The suite restarts every worker all the same.
    """
    suite.write(TWO)
    with supervised(suite):
        before = {name: program.pid for name, program in programs(suite).items()}
        with subprocess.Popen(
            [str(WARREN), "--config", str(suite.etc), "restart", "--rolling"],
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as command:
            until(lambda: report(suite).get("doing"), what="the suite to be at it")
            command.send_signal(word)
            _, said = output_of(command)
        assert command.returncode != 0
        assert ("the restart continues in the suite" in said) == (word == signal.SIGINT)
        suite.await_event(
            "supervisord", "workers_restarted", programs=["worker-a", "worker-b"], problems=[]
        )
        after = {name: program.pid for name, program in programs(suite).items()}
        assert not {before["worker-a"], before["worker-b"]} & set(after.values())
        assert {program.state for program in programs(suite).values()} == {"RUNNING"}


@pytest.mark.timeout(900)
def test_a_rolling_restart_while_the_broker_is_away(suite: Suite) -> None:
    """Each worker is restarted and looks for the broker again.

    None is left stopped, and the command ends well.
    """
    suite.write("[broker]\nurl = redis://127.0.0.1:1/0\nconnect_timeout = 1s\n" + TWO)
    with suite.running("supervise"):
        connecting = {"worker-a": "connecting", "worker-b": "connecting"}
        until(
            lambda: (
                {name: (suite.heartbeat(name) or {}).get("state") for name in connecting}
                == connecting
            ),
            what="both to look for it",
        )
        before = {name: program.pid for name, program in programs(suite).items()}
        done = suite.warren("restart", "--rolling")
        assert done.returncode == 0, done.stderr
        after = programs(suite)
        assert {program.state for program in after.values()} == {"RUNNING"}
        assert not {before["worker-a"], before["worker-b"]} & {
            program.pid for program in after.values()
        }


def report(suite: Suite) -> dict[str, Any]:
    """programs.json as it is now."""
    found: dict[str, Any] = json.loads(
        (suite.directory / "run" / "programs.json").read_text(encoding="utf-8")
    )
    return found


def test_a_restart_to_code_that_cannot_start_touches_nobody(suite: Suite) -> None:
    """Task modules are imported before the first worker is stopped.

    What is wrong with them is located.
    """
    suite.write(TWO)
    with supervised(suite):
        before = programs(suite)
        suite.module("jobs", "raise ImportError('gone')\n")
        done = suite.warren("restart", "--rolling")
        assert done.returncode == ExitCode.CONFIG
        assert (
            "[app] modules: expected jobs to be a module that can be imported, found ImportError: "
            "gone" in done.stderr
        )
        assert programs(suite) == before


def test_settings_are_checked_in_the_environment_of_the_suite(suite: Suite) -> None:
    """The suite has the environment that a task module needs, by a drop-in of its unit.

    An operator's shell need not have it.
    """
    suite.module(
        "jobs", "import os\nif os.environ.get('SITE') != 'here': raise ImportError('elsewhere')\n"
    )
    with suite.running("supervise", SITE="here"):
        until(
            lambda: suite.logged("supervisord", "ready"), what=f"ready; {suite.output('supervise')}"
        )
        assert suite.warren("check").returncode == ExitCode.CONFIG
        done = suite.warren("reload")
        assert done.returncode == 0, done.stderr


def test_reloads_under_load_are_quick_and_touch_nobody(
    program_status: tuple[Suite, Process],
) -> None:
    """Reloads that change nothing, two at a time, all end well.

    Every process is the same as before.
    """
    suite, supervisor = program_status
    before = {name: program.pid for name, program in programs(suite).items()}
    command = [str(WARREN), "--config", str(suite.etc), "reload"]
    for _ in range(3):
        asked = [
            subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL) for _ in range(2)
        ]
        assert [end_of(each) for each in asked] == [0, 0]
    assert {name: program.pid for name, program in programs(suite).items()} == before
    until(
        lambda: set(children(supervisor.pid)) == set(before.values()), what="the end of every check"
    )
