"""SIGHUP to a real `warren supervise`: only what changed, or nothing at all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.suite import Suite, children
from support.supervised import INI, QUIET, TASK, programs, refused, reload, supervised
from support.wait import until
from warren.errors import ExitCode
from warren.system.process import Process


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    except OSError:
        return []


def test_a_reload_touches_only_what_changed(suite: Suite) -> None:
    """A new worker starts, a removed daemon stops, and the others keep running."""
    with supervised(suite) as supervisor:
        kept = programs(suite)["worker-a"].pid
        suite.write(INI + "[worker:b]\nconcurrency = 1\n[beat]\nenabled = false\n")
        reload(suite, supervisor)
        [line] = suite.logged("supervisord", "reloaded")
        assert (line["added"], line["changed"], line["removed"]) == (["worker-b"], [], ["beat"])
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, what="ready again")
        assert sorted(programs(suite)) == ["worker-a", "worker-b"]
        assert programs(suite)["worker-a"].pid == kept
        assert sorted(path.name for path in (suite.directory / "run" / "supervisor").iterdir()) == [
            "worker-a.conf",
            "worker-b.conf",
        ]


def test_a_reload_exchanges_a_program_that_is_run_in_another_way(suite: Suite) -> None:
    """A worker whose supervision changes is stopped cleanly and started with the new one.

    An example is more time to stop.
    """
    with supervised(suite) as supervisor:
        before = programs(suite)["worker-a"].pid
        suite.write(INI + "stop_timeout = 50s\n")
        reload(suite, supervisor)
        assert suite.logged("supervisord", "reloaded")[0]["changed"] == ["worker-a"]
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, what="ready again")
        assert programs(suite)["worker-a"].pid not in (None, before)
        assert (
            "stopwaitsecs = 60"
            in (suite.directory / "run" / "supervisor" / "worker-a.conf").read_text()
        )


def test_a_reload_that_is_taken_back_at_once_leaves_the_last_word(suite: Suite) -> None:
    """A program that one reload removes and the next one brings back runs in the end."""
    with supervised(suite) as supervisor:
        suite.write(INI + "enabled = false\n")
        reload(suite, supervisor)
        suite.write(INI)
        reload(suite, supervisor)
        until(
            lambda: (
                programs(suite).get("worker-a", None)
                and programs(suite)["worker-a"].state == "RUNNING"
            ),
            what="worker-a",
        )


def test_daemons_that_stay_are_told(program_status: tuple[Suite, Process]) -> None:
    """A reload that changes no program reaches the daemons.

    They take up the new settings by themselves.
    """
    suite, supervisor = program_status
    before = programs(suite)["beat"].pid

    def last() -> list[bool]:
        """Whether the entry was there at the latest reload of beat."""
        return ["s" in line["entries"] for line in suite.logged("beat", "reloaded")][-1:]

    suite.write(INI + "[schedule:s]\ntask = jobs.tick\nevery = 1h\n")
    reload(suite, supervisor)
    until(lambda: last() == [True], what="beat to take up the entry")
    suite.write(INI)
    reload(suite, supervisor)
    until(lambda: last() == [False], what="beat to drop the entry")
    assert programs(suite)["beat"].pid == before


def test_a_request_during_a_reload_is_served_after_it(
    program_status: tuple[Suite, Process],
) -> None:
    """A SIGHUP during the check of an earlier one is checked and applied as well."""
    suite, supervisor = program_status
    before = len(suite.logged("supervisord", "reloaded"))
    go = suite.directory / "go"
    waits = (
        f"import os, sys, time\nwhile 'check' in sys.argv and not os.path.exists({str(go)!r}): "
        "time.sleep(0.02)\n"
    )
    suite.module("jobs", waits + TASK)
    os.kill(supervisor.pid, signal.SIGHUP)
    until(
        lambda: any("check" in arguments(child) for child in children(supervisor.pid)),
        what="the check to run",
    )
    suite.write(INI + "[schedule:late]\ntask = jobs.tick\nevery = 1h\n")
    os.kill(supervisor.pid, signal.SIGHUP)
    go.touch()
    until(
        lambda: len(suite.logged("supervisord", "reloaded")) == before + 2, what="the second reload"
    )
    until(
        lambda: (
            ["late" in line["entries"] for line in suite.logged("beat", "reloaded")][-1:] == [True]
        ),
        what="the late edit",
    )
    suite.write(INI)
    suite.module("jobs", TASK)
    go.unlink()
    reload(suite, supervisor)


def test_a_bad_reload_changes_nothing(program_status: tuple[Suite, Process]) -> None:
    """A reload with a bad file logs every problem and leaves every program.

    Every rendered file stays as it was, too.
    """
    suite, supervisor = program_status
    directory = suite.directory / "run" / "supervisor"
    before, files = programs(suite), {path: path.read_text() for path in directory.iterdir()}
    suite.write(QUIET + "[worker:b]\nconcurency = 1\n[worker:c]\nprefetch = many\n")
    os.kill(supervisor.pid, signal.SIGHUP)
    until(lambda: any("concurency" in text for text in refused(suite)), what="the first problem")
    until(
        lambda: any("[worker:c] prefetch" in text for text in refused(suite)),
        what="the second problem",
    )
    suite.write(INI)
    assert programs(suite) == before
    assert {path: path.read_text() for path in directory.iterdir()} == files


def test_a_bad_file_of_the_operator_changes_nothing_either(suite: Suite) -> None:
    """A reload with a wrong file in supervisor.d is refused.

    The rendered programs stay as they were.
    """
    with supervised(suite) as supervisor:
        files = sorted((suite.directory / "run" / "supervisor").iterdir())
        (suite.etc / "supervisor.d").mkdir()
        (suite.etc / "supervisor.d" / "own.conf").write_text("[program:own]\n")
        suite.write(INI + "[worker:b]\nconcurrency = 1\n")
        reload(suite, supervisor, "reload_refused")
        assert "own.conf" in refused(suite)[0]
        assert sorted((suite.directory / "run" / "supervisor").iterdir()) == files
        (suite.etc / "supervisor.d" / "own.conf").write_text("[program:own]\ncommand = sleep 60\n")
        reload(suite, supervisor)
        until(lambda: len(suite.logged("supervisord", "ready")) == 2, what="ready again")
        assert sorted(programs(suite)) == ["beat", "own", "worker-a", "worker-b"]


def test_the_run_directory_cannot_move_under_a_running_suite(
    program_status: tuple[Suite, Process],
) -> None:
    """Another run_dir needs a stop: the reload is refused and says so.

    A client with the edited settings is told so, too.
    """
    suite, supervisor = program_status
    head = suite.head
    suite.head = head.replace(f"{suite.directory}/run", f"{suite.directory}/elsewhere")
    suite.write(INI)
    os.kill(supervisor.pid, signal.SIGHUP)
    until(
        lambda: any("run_dir" in text and "stop the suite" in text for text in refused(suite)),
        what="the refusal",
    )
    told = suite.warren("reload")
    suite.head = head
    suite.write(INI)
    assert told.returncode == ExitCode.CONFIG
    assert (
        f"{suite.etc}/warren.ini:6: [app] run_dir: expected {suite.directory}/run, which cannot "
        "change" in told.stderr
    )
    assert not (suite.directory / "elsewhere").exists()
    assert suite.warren("reload").returncode == 0


def test_a_final_exit_code_is_not_tried_again_until_a_reload(suite: Suite) -> None:
    """A daemon whose configuration went wrong ends once, not for ever.

    It runs again after a reload that mends it.
    """
    with supervised(suite) as supervisor:
        suite.module("jobs", "raise ImportError('gone')\n")
        os.kill(programs(suite)["worker-a"].pid or 0, signal.SIGKILL)
        given_up = suite.await_event(
            "supervisord", "supervisor_record", program="worker-a", state="FATAL"
        )
        assert "78" in given_up["message"]
        assert (
            len(
                suite.logged("supervisord", "supervisor_record", program="worker-a", exit_status=78)
            )
            == 1
        )
        assert programs(suite)["worker-a"].state == "FATAL"
        suite.module("jobs", "")
        reload(suite, supervisor)
        until(lambda: programs(suite)["worker-a"].state == "RUNNING", what="the worker to run")
