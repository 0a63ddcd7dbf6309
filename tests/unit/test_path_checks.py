"""Secrets in files, and the directories of the suite."""

from __future__ import annotations

import io
import os
import pwd
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from warren.cli import main
from warren.config import AppSettings, Settings, check_directories, suite_of_another
from warren.config.secret_files import read_secret
from warren.config.units import Unexpected
from warren.errors import Problem

Loaded = Callable[..., Settings]
Refused = Callable[..., list[Problem]]

_NOBODY = 65534


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file with a secret."""

    def write(content: bytes = b"amqp://warren:hush@rabbit:5672/v\n", mode: int = 0o600) -> Path:
        path = tmp_path / "secret"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_url_from_a_file(loaded: Loaded, secret: Callable[..., Path], mode: int) -> None:
    """The URL in a file that only its owner may read is the broker's.

    Nothing that prints settings shows it.
    """
    settings = loaded(f"[broker]\nurl_file = {secret(mode=mode)}")
    assert settings.broker.url is not None
    assert settings.broker.url.get_secret_value() == "amqp://warren:hush@rabbit:5672/v"
    assert settings.broker.kind == "rabbitmq"
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("section", ["broker", "results"])
@pytest.mark.parametrize(
    ("content", "mode", "expected", "found"),
    [
        (
            b"redis://u:hush@h",
            0o644,
            "a file that only its owner may read (chmod 600)",
            "mode 0644",
        ),
        (
            b"redis://u:hush@h",
            0o640,
            "a file that only its owner may read (chmod 600)",
            "mode 0640",
        ),
        (b"", 0o600, "one line", "nothing"),
        (b" \n", 0o600, "one line", "nothing"),
        (b"redis://u:hush@h\nredis://u:hush@i\n", 0o600, "one line", "several"),
        (b"\xff", 0o600, "UTF-8 text", "other bytes"),
        (b"http://u:hush@h", 0o600, "a URL that begins with", "one that begins with http:// at"),
        (b"hush", 0o600, "a URL that begins with", "a text that is no URL at"),
    ],
)
def test_bad_secret(
    refused: Refused,
    secret: Callable[..., Path],
    tmp_path: Path,
    section: str,
    content: bytes,
    mode: int,
    expected: str,
    found: str,
) -> None:
    """A secret that others may read, or that is no URL, is refused at its line in the INI.

    It is never quoted.
    """
    (problem,) = refused(f"[{section}]\nurl_file = {secret(content, mode)}")
    assert (problem.section, problem.option, problem.origin.line) == (section, "url_file", 2)
    assert problem.expected.startswith(expected)
    assert problem.found.startswith(found)
    # the name of the directory is that of the test
    assert "hush" not in str(problem).replace(str(tmp_path), "")


def test_secret_that_is_no_file(refused: Refused, tmp_path: Path) -> None:
    """A missing secret, a directory and a named pipe in its place are refused at once.

    None of them makes the command wait.
    """
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, found in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "something that is no file"),
    ):
        (problem,) = refused(f"[broker]\nurl_file = {path}")
        assert problem.found == f"{found} at {path}"


def test_missing_secret(refused: Refused, tmp_path: Path) -> None:
    """Whoever named a secret that is not there reads how to make it, and how to do without."""
    (problem,) = refused(f"[broker]\nurl_file = {tmp_path}/none")
    assert (
        problem.remedy
        == "make the file with the URL (chmod 600), or remove the line for the embedded broker"
    )
    (problem,) = refused(f"[results]\nurl_file = {tmp_path}/none")
    assert problem.remedy == (
        "make the file with the URL (chmod 600), or remove the line to keep results with the broker"
    )


def test_url_and_file(refused: Refused, secret: Callable[..., Path]) -> None:
    """A URL and a file with one are one too many, and the message says where both stand."""
    (problem,) = refused(
        "[broker]\nurl = amqp://h", {"hosts/here.ini": f"[broker]\nurl_file = {secret()}"}
    )
    assert str(problem.origin).endswith("hosts/here.ini:2")
    assert problem.found.endswith("warren.ini:2")


def as_nobody(act: Callable[[], int]) -> int:
    """Return the number that `act` returns in a child process of an ordinary user.

    It is 0 to 254, and 255 when `act` raises.
    """
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            code = act()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user may look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_root
def test_unreadable_secret(open_path: Path) -> None:
    """A secret that this user may not read is refused with the system's reason."""
    path = open_path / "secret"
    path.write_text("redis://h")
    path.chmod(0o600)

    def act() -> int:
        try:
            read_secret(path)
        except Unexpected as error:
            return 1 if error.found == "Permission denied" else 2
        return 0

    assert as_nobody(act) == 1
    assert read_secret(path) == "redis://h"


@needs_root
def test_unwritable_directory(open_path: Path) -> None:
    """A directory that the user of the suite may not write to is a problem and names him.

    A directory that does not exist yet is none.
    """
    (open_path / "state").mkdir(mode=0o755)
    app = AppSettings(
        state_dir=open_path / "state", log_dir=open_path / "none", run_dir=open_path / "none"
    )
    settings = Settings(directory=open_path, host="here", app=app)
    assert check_directories(settings) == []
    assert as_nobody(lambda: len(check_directories(settings))) == 1
    assert (
        as_nobody(
            lambda: int(
                check_directories(settings)[0].expected
                == "a directory that the user nobody may write to"
            )
        )
        == 1
    )
    # of root: it may be meant for this user
    assert as_nobody(lambda: len(suite_of_another(settings))) == 0


@needs_root
def test_the_suite_itself_says_whom_to_give_its_directory(
    open_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, for whom a check runs as the suite's user, is told the command.

    To run it as that user would be no help.
    """
    (open_path / "state").mkdir(mode=0o755)
    app = AppSettings(
        state_dir=open_path / "state", log_dir=open_path / "none", run_dir=open_path / "none"
    )
    settings = Settings(directory=open_path, host="here", app=app)
    monkeypatch.setenv("WARREN_FOR_ROOT", "1")
    remedy = f"the suite runs as nobody: chown nobody: {open_path / 'state'}"
    assert as_nobody(lambda: int(check_directories(settings)[0].remedy == remedy)) == 1


@needs_root
def test_a_reader_is_not_the_suite(open_path: Path) -> None:
    """A user who cannot write to the state of another ordinary user only reads.

    Root, its owner and users who can write do not.
    """
    state = open_path / "state"
    state.mkdir(mode=0o755)
    settings = Settings(directory=open_path, host="here", app=AppSettings(state_dir=state))
    os.chown(state, 1, 1)
    owner = pwd.getpwuid(1).pw_name
    assert suite_of_another(settings) == ""
    assert as_nobody(lambda: int(suite_of_another(settings) == owner)) == 1
    state.chmod(0o777)
    assert as_nobody(lambda: len(suite_of_another(settings))) == 0
    state.chmod(0o755)
    os.chown(state, _NOBODY, _NOBODY)
    assert as_nobody(lambda: len(suite_of_another(settings))) == 0


@needs_root
def test_check_by_a_reader(open_path: Path) -> None:
    """Valid settings pass whoever reads them.

    A note says what only the suite's user could check.
    """
    state = open_path / "state"
    state.mkdir()
    app = f"[app]\nstate_dir = {state}\nlog_dir = {state}\nrun_dir = {open_path}/run\n"
    (open_path / "warren.ini").write_text(app, encoding="utf-8")
    told = open_path / "told"
    told.touch()
    told.chmod(0o666)

    def act() -> int:
        with (
            told.open("w", encoding="utf-8") as file,
            redirect_stdout(io.StringIO()),
            redirect_stderr(file),
        ):
            return main(["--config", str(open_path), "check"])

    assert act() == 0  # once as root: nobody may not even read a Python that root has installed
    assert told.read_text(encoding="utf-8") == ""
    os.chown(state, 1, 1)
    assert as_nobody(act) == 0
    assert told.read_text(encoding="utf-8").startswith(
        "not checked: whether the suite may write to its directories; to check that, run "
    )
