"""`warren check` and `warren show-config`, as an operator runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.wait import run_to_end
from warren.cli import VERBS, main, warren
from warren.errors import ExitCode
from warren.supervise.programs.render import MAIN

Written = Callable[..., Path]

FINE = """[app]
modules = json
[broker]
url = amqp://warren:hush@rabbit/v
[celery]
redis_password = hush
[worker:a]
queues = default
"""


#: The tests' own, but for what Warren would read of it.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("WARREN_")}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `warren` as a process of its own, because it imports task modules."""
    command = [sys.executable, "-m", "warren", *arguments]
    return run_to_end(command, capture_output=True, env={**_ENVIRONMENT, **environment})


def test_check_fine(etc: Written) -> None:
    """Valid settings give one line with what they consist of, and exit code 0."""
    done = run("--config", str(etc(FINE)), "--host", "here", "check")
    said = (
        "configuration of host here is fine: 1 file, 1 module, 1 worker, 1 queue, 0 quotas, 0 "
        "schedules\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_check_problems(etc: Written) -> None:
    """Every problem is a line on stderr, in file order, and the exit code is 78.

    Nothing is on stdout.
    """
    directory = etc("[log]\nlevel = loud\nlevl = x\n[worker:a]\nqueues = b\n")
    done = run("--config", str(directory), "check")
    assert done.returncode == ExitCode.CONFIG
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{directory}/warren.ini:{line}" for line in (2, 3, 5)
    ]


def test_check_tells_all_at_once_in_reading_order(etc: Written) -> None:
    """A bad option hides neither a missing module nor a bad file of supervisord.

    All stand in reading order.
    """
    directory = etc(
        "[app]\nmodules = shop_tusks\nname = a b\n[worker:a]\nconcurrency = "
        "two\n[schedule:s]\ntask = t\nevery = 5x\n",
        {
            "conf.d/more.ini": "[log]\nlevel = loud\n",
            "hosts/here.ini": "[worker:a]\nprefetch = none\n",
            "supervisord.conf": "garbage\n",
        },
    )
    done = run("--config", str(directory), "--host", "here", "check")
    assert done.returncode == ExitCode.CONFIG
    places = [
        line.removeprefix(f"{directory}/").split(": ")[0] for line in done.stderr.splitlines()
    ]
    in_ini = [f"warren.ini:{line}" for line in (2, 3, 5, 8)]
    assert places == [*in_ini, "conf.d/more.ini:2", "hosts/here.ini:2", "supervisord.conf"]


def test_a_url_in_the_wrong_place_is_quoted_without_its_password(etc: Written) -> None:
    """A URL in another option's line is quoted without its password.

    This holds also where it is cut off, and in JSON.
    """
    url = f"https://user:{'hunter2' * 20}@host/"
    directory = etc(
        f"[app]\ntimezone = {url}\nname = {url}\nmodules = {url}\n[worker:a]\nconcurrency = "
        "redis://:hunter2@h\n"
    )
    for arguments in (("check",), ("check", "--json"), ("status",)):
        done = run("--config", str(directory), *arguments)
        assert done.returncode == ExitCode.CONFIG
        assert "hunter2" not in done.stdout + done.stderr
    assert "found 'redis://:***@h'" in done.stderr


@pytest.mark.parametrize(
    "ini",
    [
        "[ap]\nmodules = json\n[schedule:s]\ntask = t\nevery = 1s\n",
        "[app]\nmoduls = json\n[schedule:s]\ntask = t\nevery = 1s\n",
        "[app]\nmodules = shop_tusks\npath = here\n",
        "[app]\nmodules = json\n[log]\nlevel = loud\n[worker:a]\n",
    ],
)
def test_check_tells_a_mistake_once(etc: Written, ini: str) -> None:
    """One wrong word is one problem.

    It is not one more for each task, module or program that is missing because of it.
    """
    own = "[group:all]\nprograms = worker-a\n" if "worker:a" in ini else ""
    done = run("--config", str(etc(ini, {"supervisor.d/own.conf": own})), "check")
    assert done.returncode == ExitCode.CONFIG
    assert len(done.stderr.splitlines()) == 1


def test_check_imports_modules(etc: Written, tmp_path: Path) -> None:
    """The task modules are imported from [app] path.

    A missing module and an unknown task of the schedule are found.
    """
    (tmp_path / "shop_tasks.py").write_text(
        "from celery import shared_task\n\n@shared_task(name='shop.tidy')\ndef tidy(): ...\n"
    )
    base = f"[app]\npath = {tmp_path}\nmodules = shop_tasks\n[schedule:s]\nevery = 1s\ntask = "
    assert run("--config", str(etc(base + "shop.tidy")), "check").returncode == 0
    done = run("--config", str(etc(base + "shop.tdy")), "check")
    assert done.returncode == ExitCode.CONFIG
    assert (
        "[schedule:s] task: expected a registered task, found 'shop.tdy'; did you mean shop.tidy?"
        in done.stderr
    )
    done = run("--config", str(etc("[app]\nmodules = shop_tusks\n")), "check")
    assert done.returncode == ExitCode.CONFIG
    assert (
        "[app] modules: expected shop_tusks to be a module that can be imported, found no module "
        "shop_tusks" in done.stderr
    )


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("supervisord.conf", "garbage\n", "'garbage'"),
        (
            "supervisord.conf",
            "[inet_http_server]\nport = 1\n",
            ".ini file does not include supervisord section",
        ),
        ("supervisor.d/own.conf", "garbage\n", "supervisor.d/own.conf"),
        ("supervisor.d/own.conf", "[program:own]\n", "program:own"),
        (
            "supervisor.d/own.conf",
            "[group:all]\nprograms = worker-b\n",
            "unknown program or fcgi-program worker-b",
        ),
    ],
)
def test_check_reads_the_files_of_supervisord(
    etc: Written, tmp_path: Path, name: str, text: str, found: str
) -> None:
    """What supervisord could not start with is found in one line, beside a missing module.

    Nothing is left of the dry run.
    """
    trial = tmp_path / "trial"
    trial.mkdir()
    done = run(
        "--config",
        str(etc("[app]\nmodules = shop_tusks\n[worker:a]\n", {name: text})),
        "check",
        TMPDIR=str(trial),
    )
    assert done.returncode == ExitCode.CONFIG
    of_module, of_supervisord = done.stderr.splitlines()
    assert "supervisord.conf: expected a file that supervisor can read, found " in of_supervisord
    assert found in of_supervisord
    assert "\\n" not in of_supervisord
    assert "shop_tusks" in of_module
    assert not list(trial.iterdir())


def test_check_with_programs_of_the_operator(etc: Written) -> None:
    """An operator's program is fine, and so is a group of programs that Warren renders."""
    own = (
        "[program:own]\ncommand = sleep 60\nstdout_logfile = "
        "%(warren_log_dir)s/own.out\n[group:all]\nprograms = worker-main\n"
    )
    done = run("--config", str(etc("[worker:main]\n", {"supervisor.d/own.conf": own})), "check")
    assert (done.returncode, done.stderr) == (0, "")


def test_check_of_a_suite_that_is_stopped(etc: Written, tmp_path: Path) -> None:
    """A path below the run directory is valid, though a stop removes that directory.

    A path below another missing directory is not.
    """
    ini = (
        f"[app]\nstate_dir = {tmp_path}/state\nlog_dir = {tmp_path}/log\nrun_dir = {tmp_path}/run\n"
    )
    run_dir = tmp_path / "run"
    main = MAIN.replace("%(warren_run_dir)s/supervisord.pid", f"{run_dir}/supervisord.pid")
    own = f"[program:own]\ncommand = sleep 60\nstdout_logfile = {run_dir}/own.out\n"
    done = run(
        "--config", str(etc(ini, {"supervisord.conf": main, "supervisor.d/own.conf": own})), "check"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not run_dir.exists()
    other = {
        "supervisord.conf": main.replace(f"{run_dir}/", f"{run_dir}-other/"),
        "supervisor.d/own.conf": "",
    }
    done = run("--config", str(etc(ini, other)), "check")
    assert done.returncode == ExitCode.CONFIG
    assert f"{run_dir}-other/supervisord.pid does not exist" in done.stderr


def test_check_json(etc: Written) -> None:
    """With --json the outcome is one object on stdout, whatever a module prints.

    It has the problems and the same exit codes.
    """
    done = run("--host", "here", "check", "--json", WARREN_CONFIG=str(etc(FINE)))
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["host"] == "here"
    assert found["workers"] == 1
    (etc() / "talkative.py").write_text("print('hello')")
    done = run(
        "--config", str(etc(f"[app]\npath = {etc()}\nmodules = talkative")), "check", "--json"
    )
    assert json.loads(done.stdout)["ok"] is True
    assert done.stderr == "hello\n"
    directory = etc("[log]\nlevel = loud\n")
    done = run("--config", str(directory), "check", "--json")
    assert (done.returncode, done.stderr) == (ExitCode.CONFIG, "")
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["file"], problem["line"], problem["option"]) == (
        f"{directory}/warren.ini",
        2,
        "level",
    )


def test_environment_names_directory_and_host(etc: Written) -> None:
    """WARREN_CONFIG and WARREN_HOST mean the same as --config and --host, and the options win."""
    directory = etc(FINE, {"hosts/other.ini": "[log]\nlevel = debug"})
    done = run("show-config", WARREN_CONFIG=str(directory), WARREN_HOST="other")
    assert "hosts/other.ini:2" in done.stdout
    assert (
        "hosts/other.ini"
        not in run(
            "--host", "x", "show-config", WARREN_CONFIG=str(directory), WARREN_HOST="other"
        ).stdout
    )


def test_show_config(etc: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """Every value stands on one line with its origin.

    A long value widens no other line, and no password is shown.
    """
    modules = ", ".join(f"shop.module_{number}" for number in range(40))
    directory = etc(
        FINE.replace("json", modules), {"hosts/here.ini": "[worker:a]\nstop_timeout = 90s\n"}
    )
    assert main(["--config", str(directory), "--host", "here", "show-config"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "[worker:a] stop_timeout = 90s  ; hosts/here.ini:2" in shown
    assert "[worker:a] prefetch = 1  ; default" in shown
    assert f"[app] modules = {modules}  ; warren.ini:2" in shown
    assert "[app] path =  ; default" in shown
    assert "[broker] url = amqp://warren:***@rabbit/v  ; warren.ini:4" in shown
    assert "[celery] redis_password = ***  ; warren.ini:6" in shown
    assert max(len(line) for line in shown if "modules" not in line) <= 80
    assert "hush" not in str(shown)


def test_show_config_json(etc: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json each value comes with the file and line of its origin.

    A URL from a secret file has its origin there.
    """
    secret = tmp_path / "secret"
    secret.write_text("rediss://hush@h/0?ssl_keyfile=hush")
    secret.chmod(0o600)
    directory = etc(
        f"[broker]\nurl_file = {secret}\n[schedule:s]\ntask = t\nevery = 1s\n"
        + 'kwargs = {"api_key": "hush", "n": 1}\n'
    )
    assert main(["--config", str(directory), "--host", "here", "show-config", "--json"]) == 0
    out = capsys.readouterr().out
    sections = json.loads(out)["sections"]
    assert sections["broker"]["url"] == {
        "value": "rediss://***@h/0?ssl_keyfile=***",
        "origin": {"file": str(secret), "line": None},
    }
    assert sections["schedule:s"]["kwargs"]["value"] == '{"api_key": "***", "n": 1}'
    assert sections["log"]["level"] == {"value": "info", "origin": None}
    assert "hush" not in out


def test_wrong_configuration_ends_any_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A foreseen failure is its message on stderr and its exit code, without a traceback."""
    assert main(["--config", str(tmp_path / "none"), "show-config"]) == ExitCode.CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(
        f"{tmp_path}/none: expected a directory with the file warren.ini, found nothing there"
    )


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown verb or option ends with 2, --help and --version with 0."""
    assert main(["chek"]) == ExitCode.USAGE
    assert main(["check", "--jsn"]) == ExitCode.USAGE
    assert main(["--version"]) == 0
    assert main(["check", "--help"]) == 0
    assert "Example: warren check" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", ["show-config", "show-config --json", "check"])
def test_closed_pipe(etc: Written, arguments: str) -> None:
    """A reader that has seen enough, such as head, makes no traceback."""
    command = f"{sys.executable} -m warren --config {etc(FINE)} {arguments} | true"
    done = run_to_end(["/bin/bash", "-o", "pipefail", "-c", command], capture_output=True)
    assert (done.returncode, done.stderr) == (ExitCode.FAILURE, "")


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_an_example(verb: str) -> None:
    """Each verb says what it does and how it is called."""
    command = warren.get_command(
        warren.make_context("warren", ["--help"], resilient_parsing=True), verb
    )
    assert command is not None
    assert command.name == verb
    assert re.search(rf"Example: warren (--\w+ \S+ )*{verb}\b", command.help or "")
