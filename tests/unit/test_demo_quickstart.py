"""The command of the quickstart, where it ends before its time."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.wait import output_of, run_to_end, until
from warren.demo.quickstart.command_names import typed
from warren.demo.quickstart.hidden_argument import without_url
from warren.errors import ExitCode

GUIDE = Path(__file__).parents[2] / "docs" / "quickstart.md"
CODES = ["0", "1", "2", "69", "73", "78"]
WORDS = [sys.executable, "-P", "-m", "warren.demo.quickstart"]
AWAY = "redis://:secret@127.0.0.1:1/0"


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_to_end([*WORDS, *arguments], capture_output=True)


@pytest.mark.parametrize(("url", "code"), [(AWAY, 69), ("nonsense://secret", 2)])
def test_a_run_that_never_began_keeps_no_password(tmp_path: Path, url: str, code: int) -> None:
    """With a broker that is away or a URL that is none, the URL is in no file afterwards."""
    assert ended("--broker", url, "--directory", str(tmp_path)).returncode == code
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()
    ]


def test_stopping_what_was_not_kept_says_so(tmp_path: Path) -> None:
    """`--stop` on a directory without a kept run fails with one line."""
    done = ended("--stop", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path}: expected a run that --keep left, found none")


@pytest.mark.parametrize("text", ["foo", "redis://h/0;amqp://h//"])
def test_a_broker_that_is_none(tmp_path: Path, text: str) -> None:
    """What is no URL of a broker is refused in one line that names the option.

    No file is made of it.
    """
    done = ended("--broker", text, "--directory", str(tmp_path))
    assert done.returncode == ExitCode.USAGE
    assert ": --broker: expected " in done.stderr.splitlines()[-1]
    assert ", found " in done.stderr.splitlines()[-1]
    assert "warren.ini" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_url_of_the_broker_in_a_file(tmp_path: Path) -> None:
    """A file that others may read is refused.

    The URL of a file that only its owner reads is used, and so is that of standard input.
    """
    file, run = tmp_path / "url", tmp_path / "run"
    file.write_text(f"{AWAY}\n", encoding="utf-8")
    file.chmod(0o644)
    done = ended("--broker-file", str(file), "--directory", str(run))
    assert done.returncode == ExitCode.USAGE
    assert (
        f"--broker-file {file}: expected a file that only its owner may read (chmod 600), found "
        "mode 0644" in done.stderr
    )
    file.chmod(0o600)
    for arguments in (["--broker-file", str(file)], ["--broker-file", "-"]):
        with file.open(encoding="utf-8") as url:
            done = run_to_end([*WORDS, *arguments], capture_output=True, stdin=url)
        assert done.returncode == ExitCode.UNAVAILABLE
        assert "redis://:***@127.0.0.1:1/0" in done.stderr
        assert ":secret@" not in done.stderr
    assert ended("--broker-file", str(file), "--broker", AWAY).returncode == ExitCode.USAGE


def test_no_password_stays_among_the_words_of_the_command(tmp_path: Path) -> None:
    """While a run continues, its command line has no password.

    Every user of the machine can read it.
    """
    arguments = [*WORDS, "--keep", "--json", f"--broker={AWAY}", "--directory", str(tmp_path)]
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        arguments[-3] = f"--broker=redis://:hunter2@127.0.0.1:{silent.getsockname()[1]}/0"
        with subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as started:
            try:
                until(
                    lambda: started.poll() is not None or list(tmp_path.iterdir()),
                    what="the run to begin",
                )
                assert started.poll() is None
                assert b"hunter2" not in Path(f"/proc/{started.pid}/cmdline").read_bytes()
                assert b"hunter2" not in Path(f"/proc/{started.pid}/environ").read_bytes()
            finally:
                started.kill()


def test_words_without_their_url() -> None:
    """However the option is written; a URL without a password stays."""
    others = ["--json", "--documents", "5"]
    assert without_url(["--json", "--broker", AWAY, "--documents", "5"]) == (AWAY, others)
    assert without_url(["--json", f"--broker={AWAY}", "--documents", "5"]) == (AWAY, others)
    for arguments in (others, ["--broker", "redis://h/0"], ["--broker"], ["--broker-file", AWAY]):
        assert without_url(arguments) is None


def test_the_help_has_every_exit_code() -> None:
    """The exit codes of the help are those of the guide."""
    said, guide = (
        text.partition("Exit codes:")[2]
        for text in (ended("--help").stdout, GUIDE.read_text(encoding="utf-8"))
    )
    codes = re.compile(r"\b(?:0|1|2|69|73|78)\b(?= )")
    assert (
        codes.findall(said.partition("Options:")[0])
        == codes.findall(guide.partition("\n\n")[0])
        == CODES
    )


def test_the_usage_names_what_was_typed() -> None:
    """The help shows the script's name, not that of a module."""
    assert ended("--help").stdout.startswith("Usage: ./scripts/quickstart [OPTIONS]")


def test_without_the_tree_what_is_typed_needs_no_script(tmp_path: Path) -> None:
    """A host with the package has neither scripts/ nor .venv.

    The commands that the quickstart prints run there as well.
    """
    quickstart, warren = typed(tmp_path / "lib" / "warren")
    assert (quickstart.split()[0], warren.split()[0]) == (sys.executable, sys.executable)
    assert run_to_end([*quickstart.split(), "--help"], capture_output=True).returncode == 0
    assert run_to_end([*warren.split(), "--version"], capture_output=True).returncode == 0
    assert typed(GUIDE.parents[1] / ".venv") == ("./scripts/quickstart", ".venv/bin/warren")


def test_an_interrupted_run_says_where_it_wrote(scratch: Path) -> None:
    """Ctrl-C stops what was started, and the last line names the directory."""
    started = subprocess.Popen(
        [*WORDS, "--directory", str(scratch)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell runs in the background ignores SIGINT, and so would everything that the tests
        # start from there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    until(
        lambda: (scratch / "log" / "supervise.out").exists() or started.poll() is not None,
        what="the suite to be started",
    )
    assert started.poll() is None
    started.send_signal(signal.SIGINT)
    _, err = output_of(started)
    assert started.returncode == 128 + signal.SIGINT
    assert err.splitlines()[-1] == f"stopped; the run's files are in {scratch}"
