"""What a command says to a user who may not do what was asked, and which user it acts as."""

from __future__ import annotations

import grp
import io
import os
import pwd
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from support.forks import child, end
from warren.cli import main

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as several users")

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def directory(scratch: Path) -> Path:
    """Settings that everybody may read, and directories of root; in `warm` the same once more."""
    scratch.chmod(0o755)
    made(scratch / "warm")
    return made(scratch)


def made(scratch: Path) -> Path:
    names = {f"{name}_dir": scratch / name for name in ("state", "log", "run")}
    for path in (scratch / "etc", *names.values()):
        path.mkdir(mode=0o755, parents=True)
    ini = "[app]\n" + "".join(f"{option} = {path}\n" for option, path in names.items())
    (scratch / "etc" / "warren.ini").write_text(ini, encoding="utf-8")
    return scratch


def told(directory: Path, user: str, *arguments: str) -> tuple[int, str]:
    """The exit code of `warren WORDS` as that user, and all that it says."""
    out = directory / "out"

    def run() -> None:
        # once as root: nobody may not even read a Python that root has installed
        with redirect_stdout(io.StringIO()):
            _code("--config", str(directory / "warm" / "etc"), *arguments)
        with open(out, "w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
            if user != "root":
                os.setgroups([])
                os.setgid(NOBODY.pw_gid)
                os.setuid(NOBODY.pw_uid)
            code = _code("--config", str(directory / "etc"), *arguments)
        os._exit(code)

    return end(child(run)), out.read_text(encoding="utf-8")


def _code(*arguments: str) -> int:
    try:
        return main(list(arguments))
    except SystemExit as error:
        return int(error.code or 0)


@pytest.mark.parametrize("verb", [("call", "shop.add"), ("show-config",), ("logs",)])
def test_settings_that_may_not_be_read(directory: Path, verb: tuple[str, ...]) -> None:
    """A closed directory or file of settings is named once, with the users who may read it."""
    (directory / "etc").chmod(0o700)
    said = (
        f"{directory}/etc: expected a directory that can be read, found Permission denied; run "
        "this command as root\n"
    )
    assert told(directory, "nobody", *verb) == (78, said)
    (directory / "etc").chmod(0o755)
    own = directory / "etc" / "warren.ini"
    os.chown(own, 1, 1)
    own.chmod(0o640)
    daemon, group = pwd.getpwuid(1).pw_name, grp.getgrgid(1).gr_name
    said = f"{own}: expected a file that can be read, found Permission denied; "
    assert told(directory, "nobody", *verb) == (
        78,
        f"{said}run this command as root or as {daemon} or as a member of group {group}\n",
    )


def test_a_secret_that_may_not_be_read(directory: Path) -> None:
    """Who may not see the secret is not told to make it, nor to give up the broker."""
    secrets = directory / "etc" / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "url").write_text("amqp://u:p@h/v", encoding="utf-8")
    (secrets / "url").chmod(0o600)
    with (directory / "etc" / "warren.ini").open("a", encoding="utf-8") as ini:
        ini.write(f"[broker]\nurl_file = {secrets}/url\n")
    code, said = told(directory, "nobody", "call", "shop.add")
    assert (code, said.partition("found ")[2]) == (
        78,
        f"Permission denied at {secrets}/url; run this command as root\n",
    )


def test_the_state_of_another_user(directory: Path) -> None:
    """The embedded broker lies in the state: who may not write there hears whose it is."""
    code, said = told(directory, "nobody", "call", "shop.add")
    assert code == 69
    assert (
        f"{directory}/state: user nobody cannot write there, and the embedded broker of root is "
        "there" in said
    )
    assert said.endswith("; run this command as root\n")
    os.chown(directory / "state", 1, 1)
    assert told(directory, "nobody", "call", "shop.add")[1].endswith(
        f"; run this command as root or as {pwd.getpwuid(1).pw_name}\n"
    )


def test_no_state_is_made_where_no_suite_has_run(directory: Path) -> None:
    """A call under settings that no suite runs with, such as the defaults, leaves no file."""
    (directory / "state").rmdir()
    code, said = told(directory, "root", "call", "shop.add")
    assert (code, said.partition("; ")[2].partition(" once")[0]) == (69, "start the suite")
    assert not (directory / "state").exists()


def populated(directory: Path) -> None:
    """The files that a running suite has, of another ordinary user."""
    for name in (
        "run/supervisord.lock",
        "run/beat.lock",
        "run/programs.json",
        "run/broker.json",
        "log/worker.log",
        "state/run_dir",
    ):
        (directory / name).write_text("{}", encoding="utf-8")
    (directory / "run" / "heartbeats").mkdir()
    (directory / "state" / "broker" / "queues").mkdir(parents=True)
    for name in ("state", "log", "run"):
        for path in (directory / name, *(directory / name).rglob("*")):
            os.chown(path, 1, 1)


@pytest.mark.parametrize(
    "closed", ["run", "log", "state", "run/supervisord.lock", "state/broker", "everything"]
)
@pytest.mark.parametrize(
    "verb",
    ["status", "health", "logs", "reload", "check", "show-config", "call shop.add", "beat --stop"],
)
def test_nobody_sees_a_traceback(directory: Path, verb: str, closed: str) -> None:
    """A user who may not read or write some file of the suite gets a sentence and an exit code."""
    populated(directory)
    for name in ("run", "log", "state") if closed == "everything" else (closed,):
        (directory / name).chmod(0o700 if (directory / name).is_dir() else 0o600)
    code, said = told(directory, "nobody", *verb.split())
    assert "Traceback" not in said, said
    assert code in (0, 1, 2, 69, 73, 76, 78)
    if verb == "reload" and closed in ("run", "run/supervisord.lock", "everything"):
        assert code == 69
        assert said.endswith(f"run this command as root or as {pwd.getpwuid(1).pw_name}\n")
