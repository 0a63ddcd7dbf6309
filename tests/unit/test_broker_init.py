"""The pure and the small parts of `warren broker init`: URLs, INI text, steps, files, refusals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.forks import child, end
from warren.broker.rabbitmq import broker_url, init_files
from warren.broker.rabbitmq.undoable_steps import Outcome, Step, Steps
from warren.cli import main
from warren.config.url_place import place_of, with_url_file
from warren.errors import ConfigError, ExitCode, WarrenError
from warren.system.own_address import is_own
from warren.system.users import User, acting_as

Written = Callable[..., Path]

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
ANNA = User(1201, 1201, (1201,), "anna")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("amqp://u:p@h:1/v", ("h", 1, "u", "p", "v")),
        ("amqp://u:p%40@h//", ("h", 5672, "u", "p@", "/")),
        ("amqps://u:p@h/%2F", ("h", 5671, "u", "p", "/")),
        ("amqp://h", ("h", 5672, "guest", "guest", "/")),
    ],
)
def test_parts_of_a_url(url: str, parts: tuple[object, ...]) -> None:
    """As Celery understands the URL."""
    found = broker_url.parse(url)
    assert (found.host, found.port, found.user, found.password, found.vhost) == parts


def test_a_url_is_made_and_changed() -> None:
    """The other URLs and the options stay."""
    assert broker_url.new_url(5672, "u", "p", "/") == "amqp://u:p@127.0.0.1:5672/%2F"
    text = "amqp://u:a@far/v;amqp://u:a@near:1/v?heartbeat=5"
    found = broker_url.local(text, lambda host: host == "near")
    assert found == "amqp://u:a@near:1/v?heartbeat=5"
    assert broker_url.with_password(text, found, "u", "b") == (
        "amqp://u:a@far/v;amqp://u:b@near:1/v?heartbeat=5"
    )
    assert broker_url.local(text, lambda _: False) == ""


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("192.0.2.1", False),
        ("no-such-host.invalid", False),
        ("a" * 70, False),
    ],
)
def test_an_address_of_this_host(host: str, own: bool) -> None:
    """A name that leads nowhere is not this host's."""
    assert is_own(host) is own


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "[broker]\nurl_file = /u\n"),
        ("[broker]\nqueue_type = classic\n", "[broker]\nurl_file = /u\nqueue_type = classic\n"),
        ("[app]\nname = a", "[app]\nname = a\n\n[broker]\nurl_file = /u\n"),
    ],
)
def test_the_ini_names_the_file(text: str, expected: str) -> None:
    """What the file said before stays."""
    assert with_url_file(text, Path("/u")) == expected


def secret(path: Path, text: str) -> Path:
    """A file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_where_the_url_is(etc: Written, tmp_path: Path) -> None:
    """The file that the INI files name, whether it is there or not; else the default one."""
    default = etc() / "secrets/broker-url"
    place = place_of(etc(), "here")
    assert (place.file, place.named, place.url) == (default, False, "")
    secret(default, "amqp://u:p@h/v\n")
    assert place_of(etc(), "here").url == "amqp://u:p@h/v"
    named = f"[broker]\nurl_file = {tmp_path}/mine\n"
    place = place_of(etc(named), "here")
    assert (place.file, place.named, place.url) == (tmp_path / "mine", True, "")
    secret(tmp_path / "mine", "")
    assert place_of(etc(named), "here").url == ""
    secret(tmp_path / "mine", "amqp://u:p@h/v\n")
    assert place_of(etc(named), "here").url == "amqp://u:p@h/v"


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [("amqp://u:p@h/v", 0o644, "chmod 600"), ("nonsense", 0o600, "no URL"), ("a\nb", 0o600, "one")],
)
def test_a_file_that_is_no_secret_url(
    etc: Written, tmp_path: Path, text: str, mode: int, told: str
) -> None:
    """It is a person's: it is never replaced, and its text is not told."""
    for file, ini in (
        (etc() / "secrets/broker-url", ""),
        (tmp_path / "m", "[broker]\nurl_file = "),
    ):
        secret(file, text).chmod(mode)
        with pytest.raises(WarrenError) as caught:
            place_of(etc(f"{ini}{file}\n" if ini else ""), "here")
        assert told in str(caught.value)
        assert "nonsense" not in str(caught.value)


def test_other_problems_stay_problems(etc: Written, tmp_path: Path) -> None:
    """A lost file hides none of them."""
    with pytest.raises(ConfigError) as caught:
        place_of(etc(f"[broker]\nurl_file = {tmp_path}/lost\nqueue_typ = x\n"), "here")
    assert len(caught.value.problems) == 1
    with pytest.raises(ConfigError):
        place_of(tmp_path / "none", "here")


def test_a_failure_undoes_what_was_new() -> None:
    """The last step first, the failing one included; what cannot be undone is told."""
    said: list[Step] = []
    done: list[str] = []
    steps = Steps(said.append)

    def fail() -> None:
        raise WarrenError("no")

    steps.take("a", "A", lambda: done.append("a"), ("undo", lambda: done.append("-a")))
    steps.take("b", "B", lambda: done.append("b"), ("undo", fail))
    steps.take("c", "C", lambda: done.append("c"), ("undo", lambda: done.append("-c")))
    steps.keep("c")
    with pytest.raises(WarrenError):
        steps.take("d", "D", fail, ("undo", lambda: done.append("-d")))
    steps.undo()
    steps.undo()
    assert done == ["a", "b", "c", "-d", "-a"]
    assert [(step.name, step.outcome) for step in said[3:]] == [
        ("d", Outcome.UNDONE),
        ("b", Outcome.LEFT),
        ("a", Outcome.UNDONE),
    ]


def test_a_dry_run_acts_never() -> None:
    """It says what would be done."""
    said: list[Step] = []
    steps = Steps(said.append, dry_run=True)
    steps.take("a", "A", lambda: pytest.fail("acted"))
    assert said == [Step("a", Outcome.PLANNED, "A")]
    assert not steps.changed


@ROOT
def test_root_acts_as_another_user(scratch: Path) -> None:
    """Files are that user's, root's files are closed, and root is root afterwards."""
    scratch.chmod(0o755)
    closed = secret(scratch / "closed", "x")
    home = scratch / "home"
    home.mkdir()
    os.chown(home, ANNA.uid, ANNA.gid)

    def act() -> None:
        before = os.getgroups()
        with acting_as(ANNA):
            (home / "made").write_text("")
            with pytest.raises(PermissionError):
                closed.read_text()
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, before)
        closed.read_text()

    end(child(act))
    assert ((home / "made").stat().st_uid, (home / "made").stat().st_gid) == (ANNA.uid, ANNA.gid)


@ROOT
def test_links_of_the_suites_user_lead_root_nowhere(scratch: Path) -> None:
    """A task that has put links where the URL goes gets no file of root's changed."""
    scratch.chmod(0o755)
    victim = secret(scratch / "victim", "root's")
    init_files.make_closed_directory(scratch / "secrets", ANNA)
    assert ((scratch / "secrets").stat().st_uid, (scratch / "secrets").stat().st_mode & 0o777) == (
        ANNA.uid,
        0o700,
    )
    file = scratch / "secrets/broker-url"
    for name in (file, file.with_name("broker-url.new")):
        name.symlink_to(victim)
        os.chown(name, ANNA.uid, ANNA.gid, follow_symlinks=False)
    init_files.write_url(file, "amqp://", ANNA)
    assert victim.read_text() == "root's"
    assert victim.stat().st_uid == 0
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (ANNA.uid, 0o600)
    # A directory of another user in its place stays as it is.
    init_files.make_closed_directory(scratch / "secrets", User(1202, 1202))
    assert (scratch / "secrets").stat().st_uid == ANNA.uid


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--vhost", "a b"], "found 'a b'"),
        (["--vhost", ""], "found ''"),
        (["--user", "guest"], "not guest, found 'guest'"),
        (["--user", "a;b"], "found 'a;b'"),
        (["--user", "-x"], "found '-x'"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_bad_words(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that a shell or a URL could misread are refused before anything is done."""
    assert main(["broker", "init", *arguments]) == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_a_group_alone_and_a_mistyped_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """`warren broker` says which verbs there are."""
    assert main(["broker"]) == ExitCode.USAGE
    assert "broker init  Set up the RabbitMQ" in capsys.readouterr().err
    assert main(["broker", "inti"]) == ExitCode.USAGE
    assert "did you mean init?" in capsys.readouterr().err


@ROOT
def test_settings_of_another_user(etc: Written, capsys: pytest.CaptureFixture[str]) -> None:
    """Root gives no rights at RabbitMQ to whom may write the settings."""
    os.chown(etc(), ANNA.uid, ANNA.gid)
    assert main(["--config", str(etc()), "broker", "init"]) == ExitCode.FAILURE
    assert "may change these settings" in capsys.readouterr().err
