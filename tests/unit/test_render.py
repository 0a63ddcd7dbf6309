"""The programs of supervisord, as supervisor itself reads them."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from supervisor.datatypes import RestartWhenExitUnexpected

from warren.config import (
    AppSettings,
    BeatSettings,
    QueueSettings,
    Settings,
    WatchdogSettings,
    WorkerSettings,
)
from warren.errors import FINAL, ConfigError, ExitCode
from warren.supervise.daemon_process import DaemonConfig
from warren.supervise.options import Options
from warren.supervise.programs.directories import make_directories, write_programs
from warren.supervise.programs.render import MAIN, daemons, expansions, programs_directory, render


def settings_in(directory: Path, **sections: Any) -> Settings:
    app = AppSettings(
        state_dir=directory / "state", log_dir=directory / "log", run_dir=directory / "run"
    )
    workers = {"crawl": WorkerSettings(stop_timeout=12.5), "rest": WorkerSettings()}
    return Settings(
        **{"directory": directory / "etc", "host": "alpha", "app": app, "workers": workers}
        | sections
    )


def read_back(settings: Settings) -> dict[str, Any]:
    """What supervisor's own parser makes of the rendered files, by program."""
    make_directories(settings)
    directory = programs_directory(settings.app.run_dir)
    write_programs(directory, render(settings))
    main = settings.app.run_dir / "supervisord.conf"
    main.write_text(MAIN)
    options = Options(main, expansions(settings), directory)
    return {group.name: group.process_configs[0] for group in options.process_group_configs}


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "with blank",
        "100%",
        "%(here)d",
        "a #b",
        "a ;b",
        "it's",
        'a"b',
        "back\\slash",
        "[a]*?",
        "ünïcode",
        "~a",
    ],
)
def test_supervisor_reads_back_what_was_meant(tmp_path: Path, name: str) -> None:
    """Whatever characters the directories have, supervisor runs the intended command.

    It uses the intended files.
    """
    directory = tmp_path / name
    settings = settings_in(directory)
    worker = read_back(settings)["worker-crawl"]
    start = [
        sys.executable,
        "-P",
        "-m",
        "warren",
        "--config",
        str(directory / "etc"),
        "--host",
        "alpha",
    ]
    assert shlex.split(worker.command) == [*start, "worker", "crawl"]
    assert worker.stdout_logfile == str(directory / "log" / "worker-crawl.out")
    assert worker.directory == str(directory / "state")


def test_every_enabled_daemon_is_a_program(tmp_path: Path) -> None:
    """Adding a worker is one section, and what is not enabled on this host does not run."""
    programs = read_back(settings_in(tmp_path))
    assert sorted(programs) == ["beat", "quota-watchdog", "worker-crawl", "worker-rest"]
    assert all(isinstance(program, DaemonConfig) for program in programs.values())
    off = settings_in(
        tmp_path,
        workers={"crawl": WorkerSettings(enabled=False)},
        beat=BeatSettings(enabled=False),
        watchdog=WatchdogSettings(enabled=False),
    )
    assert read_back(off) == {}


def test_only_what_may_change_is_tried_again(tmp_path: Path) -> None:
    """A daemon is not started again after an exit code that would come back.

    After any other it is, a restart included.
    """
    for program in read_back(settings_in(tmp_path)).values():
        assert program.autorestart is RestartWhenExitUnexpected
        assert program.exitcodes == [int(code) for code in FINAL]
        assert int(ExitCode.RESTART) not in program.exitcodes
        assert program.startretries > 10_000


def test_a_worker_has_time_to_requeue_before_it_is_killed(tmp_path: Path) -> None:
    """SIGKILL comes later than stop_timeout, to children as well.

    SIGTERM goes to the worker alone.
    """
    programs = read_back(settings_in(tmp_path))
    assert programs["worker-crawl"].stopwaitsecs >= 12.5 + 5
    assert programs["worker-rest"].stopwaitsecs >= 30 + 5
    for program in programs.values():
        assert program.stopsignal.name == "SIGTERM"
        assert not program.stopasgroup
        assert program.killasgroup


def test_what_a_daemon_prints_is_kept_and_bounded(tmp_path: Path) -> None:
    """Standard output and error go to one capture file that cannot fill the disk.

    They go there at once, unreadable to others.
    """
    for program in read_back(settings_in(tmp_path)).values():
        assert program.redirect_stderr
        assert 0 < program.stdout_logfile_maxbytes * (program.stdout_logfile_backups + 1) < 10**8
        assert program.umask == 0o077
        assert program.environment["PYTHONUNBUFFERED"] == "1"


def test_order(tmp_path: Path) -> None:
    """The watchdog starts first and stops last; beat starts last and stops first.

    Workers stop together.
    """
    order = {daemon.program: daemon.priority for daemon in daemons(settings_in(tmp_path))}
    assert order["quota-watchdog"] < order["worker-crawl"] == order["worker-rest"] < order["beat"]


def test_what_a_program_does_not_depend_on_does_not_change_it(tmp_path: Path) -> None:
    """A reload restarts no daemon for an edit that the daemon can take up by itself."""
    queues = {
        "default": QueueSettings(binding_key="default"),
        "more": QueueSettings(binding_key="more"),
    }
    workers = {"crawl": WorkerSettings(stop_timeout=12.5, concurrency=7), "rest": WorkerSettings()}
    assert render(settings_in(tmp_path)) == render(
        settings_in(tmp_path, queues=queues, workers=workers)
    )


def test_an_operators_own_program_is_taken_up(tmp_path: Path) -> None:
    """A file in supervisor.d adds a program, which is not taken for a daemon of Warren."""
    (tmp_path / "etc" / "supervisor.d").mkdir(parents=True)
    (tmp_path / "etc" / "supervisor.d" / "own.conf").write_text(
        "[program:own]\ncommand = sleep 5\n"
    )
    own = read_back(settings_in(tmp_path))["own"]
    assert own.command == "sleep 5"
    assert not isinstance(own, DaemonConfig)


def test_an_operators_mistake_is_said_in_the_grammar_of_all_messages(tmp_path: Path) -> None:
    """A wrong file in supervisor.d is a wrong configuration: where, what was found, what to do."""
    (tmp_path / "etc" / "supervisor.d").mkdir(parents=True)
    (tmp_path / "etc" / "supervisor.d" / "own.conf").write_text(
        "[program:own]\ncommand = sleep 5\nstartsecs = first\n"
    )
    with pytest.raises(
        ConfigError, match=r"expected a file that supervisor can read, found .*own\.conf"
    ):
        read_back(settings_in(tmp_path))


def test_programs_that_are_gone_leave_no_file(tmp_path: Path) -> None:
    """The run directory holds exactly the programs of the settings.

    Foreign files are neither added nor removed.
    """
    (tmp_path / "other.txt").touch()
    write_programs(tmp_path, {"a.conf": "1", "b.conf": "2"})
    write_programs(tmp_path, {"b.conf": "3", "c.conf": "4"})
    assert {path.name: path.read_text() for path in tmp_path.glob("*.conf")} == {
        "b.conf": "3",
        "c.conf": "4",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.conf", "c.conf", "other.txt"]
