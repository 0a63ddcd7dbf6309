"""Who decides what root does."""

from __future__ import annotations

import os
import pwd
from contextlib import redirect_stderr
from pathlib import Path

import click
import pytest

from support.forks import child, end
from warren.cli.privileges import Verb, Way, owner_of, way
from warren.cli.trust import Untrusted, decider_of_settings, owner_of_state
from warren.cli.unprivileged_child import environment, limits_of
from warren.cli.user import become
from warren.system.users import User

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")
ANNA, BOB = 1201, 1202


@pytest.mark.parametrize(
    ("verb", "asked", "owner", "terminal", "expected"),
    [
        ("start", {}, ANNA, True, Way.HERE),
        ("stop", {}, ANNA, True, Way.HERE),
        ("restart", {"rolling": False}, ANNA, True, Way.HERE),
        ("restart", {"rolling": True}, ANNA, True, Way.CHILD),
        *(
            (verb, {}, ANNA, terminal, Way.CHILD)
            for verb in ("status", "call", "check", "reload")
            for terminal in (True, False)
        ),
        ("logs", {"directories": ()}, ANNA, True, Way.CHILD),
        ("logs", {"directories": (Path("/x"),)}, ANNA, True, Way.DROP),
        ("health", {}, ANNA, True, Way.DROP),
        *(
            (verb, {"user": "", "stop": False}, ANNA, True, Way.REFUSE)
            for verb in ("supervise", "worker", "beat")
        ),
        ("supervise", {"user": "", "stop": True}, ANNA, True, Way.CHILD),
        ("worker", {"user": "anna"}, 0, True, Way.CHILD),
        (
            "worker",
            {"user": "anna"},
            0,
            False,
            Way.HERE,
        ),  # it becomes that user at once (cli/user.py, `become`)
        *(
            (verb, {}, 0, True, Way.HERE)
            for verb in ("status", "call", "check", "reload", "health", "supervise")
        ),
        ("a verb of tomorrow", {}, ANNA, True, Way.CHILD),
    ],
)
def test_as_whom_a_command_of_roots_continues(
    verb: str, asked: dict[str, object], owner: int, terminal: bool, expected: Way
) -> None:
    """Root talks to systemd, or becomes the owner; only a suite of root's own runs as root."""
    assert way(verb, asked, owner, terminal) is expected


def test_a_child_has_an_environment_of_its_own() -> None:
    """Language, time zone and looks are root's; nothing else is, and nothing of Python's."""
    root = {
        "PATH": "/root/bin",
        "PYTHONPATH": "x",
        "LD_PRELOAD": "x",
        "SECRET": "x",
        "HOME": "/root",
        "LC_TIME": "de",
        "LANG": "C",
        "TZ": "UTC",
        "TERM": "xterm",
        "SSH_AUTH_SOCK": "/x",
    }
    found = environment(
        User(ANNA, ANNA, (), "anna", "/home/anna"),
        root,
        os.terminal_size((90, 30)),
        True,
        daemon=False,
    )
    assert found == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/home/anna",
        "USER": "anna",
        "LOGNAME": "anna",
        "LC_TIME": "de",
        "LANG": "C",
        "TZ": "UTC",
        "TERM": "xterm",
        "COLUMNS": "90",
        "LINES": "30",
        "WARREN_FOR_ROOT": "1",
        "WARREN_TERMINAL": "stdout",
    }
    found = environment(
        User(ANNA, ANNA),
        {**root, "HTTPS_PROXY": "p"},
        os.terminal_size((90, 30)),
        False,
        daemon=True,
    )
    assert not set(found) & {"PYTHONPATH", "LD_PRELOAD", "SSH_AUTH_SOCK", "USER", "COLUMNS"}
    assert (found["HTTPS_PROXY"], found["HOME"]) == ("p", "/")


def test_what_may_hang_ends() -> None:
    """Verbs that import task modules have a time limit; those that follow or drain have none."""
    assert limits_of("check", {}).timeout == 120
    assert limits_of("call", {"wait": 30.0}).timeout == 150
    assert limits_of("reload", {}).timeout is None
    assert limits_of("supervise", {"user": "anna"}).daemon


@pytest.fixture
def place(scratch: Path) -> Path:
    """Settings of root's that name a state directory of anna's."""
    scratch.chmod(0o755)
    for name in ("etc", "etc/conf.d", "etc/hosts", "var", "var/state"):
        (scratch / name).mkdir(mode=0o755)
    (scratch / "etc" / "warren.ini").write_text(
        f"[app]\nstate_dir = {scratch}/var/state\n", encoding="utf-8"
    )
    os.chown(scratch / "var" / "state", ANNA, ANNA)
    return scratch


@ROOT
def test_the_owner_of_the_state_is_found(place: Path) -> None:
    """Also one without a name; what the state directory itself grants to others does not matter."""
    assert owner_of(place / "etc", "here") == ANNA
    (place / "var" / "state").chmod(0o777)
    assert owner_of(place / "etc", "here") == ANNA


@ROOT
@pytest.mark.parametrize("who", [ANNA, BOB])
def test_who_may_replace_the_state_decides_for_himself_only(place: Path, who: int) -> None:
    """A directory on the way may be the owner's own, and nobody else's."""
    os.chown(place / "var", who, who)
    if who == ANNA:
        assert owner_of_state(place / "var" / "state") == ANNA
        os.chown(place / "var" / "state", 0, 0)  # anna has moved something of root's there
    with pytest.raises(Untrusted, match="may replace it"):
        owner_of_state(place / "var" / "state")


@ROOT
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_way_that_many_may_write_to_is_refused(place: Path, mode: int) -> None:
    """The remedy is named; a sticky directory such as /tmp is none of these."""
    (place / "var").chmod(mode)
    with pytest.raises(Untrusted, match=f"chmod go-w {place}/var$"):
        owner_of_state(place / "var" / "state")
    (place / "var").chmod(mode | 0o1000)
    assert owner_of_state(place / "var" / "state") == ANNA


@ROOT
@pytest.mark.parametrize("mode", [0o770, 0o757, 0o1777])
def test_a_state_of_roots_that_others_may_write_to_is_refused(place: Path, mode: int) -> None:
    """It would be worked on as root, with all that they have put there."""
    state = place / "var" / "state"
    os.chown(state, 0, ANNA)
    assert owner_of_state(state) == 0
    state.chmod(mode)
    with pytest.raises(Untrusted, match=f"chmod go-w {state}$"):
        owner_of_state(state)


@ROOT
def test_what_anybody_may_make_is_not_waited_for(place: Path) -> None:
    """Settings or a state that do not exist in a directory such as /tmp are refused.

    They may be a stranger's by the time they are read.
    """
    (place / "var").chmod(0o1777)
    for look in (owner_of_state, lambda path: owner_of(path, "here")):
        with pytest.raises(Untrusted, match="does not exist, and any user may make it"):
            look(place / "var" / "none")
    (place / "var").chmod(0o755)
    assert owner_of_state(place / "var" / "none") is None


@ROOT
def test_a_link_decides_nothing(place: Path) -> None:
    """Neither the state directory nor one on the way may be a link, whoever has made it."""
    (place / "link").symlink_to(place / "var")
    with pytest.raises(Untrusted, match="is a symbolic link"):
        owner_of_state(place / "link" / "state")
    (place / "var" / "other").symlink_to("state")
    with pytest.raises(Untrusted, match="is a symbolic link"):
        owner_of_state(place / "var" / "other")


@ROOT
@pytest.mark.parametrize(
    "what",
    ["etc", "etc/conf.d", "etc/hosts", "etc/warren.ini", "etc/hosts/here.ini", "etc/conf.d/a.ini"],
)
def test_who_may_write_the_settings_is_obeyed_as_himself(place: Path, what: str) -> None:
    """A user who may name another state directory does not choose whom root becomes.

    Root becomes that user.
    """
    path = place / what
    if not path.exists():
        path.touch(mode=0o644)
    assert decider_of_settings(place / "etc", "here") == 0
    os.chown(path, BOB, BOB)
    assert owner_of(place / "etc", "here") == BOB
    os.chown(path, 0, 0)
    path.chmod(path.stat().st_mode | 0o020)
    with pytest.raises(Untrusted, match="more users than its owner"):
        owner_of(place / "etc", "here")


@ROOT
def test_settings_of_several_users_are_not_obeyed(place: Path) -> None:
    """Each could name what the other may not touch."""
    for name, who in (("a.ini", ANNA), ("b.ini", BOB)):
        (place / "etc" / "conf.d" / name).touch(mode=0o644)
        os.chown(place / "etc" / "conf.d" / name, who, who)
    with pytest.raises(Untrusted, match="obeys neither"):
        owner_of(place / "etc", "here")


@ROOT
def test_settings_behind_a_link_are_judged_where_they_are(place: Path) -> None:
    """A link of root's is followed.

    The users who may write there count, and so does the user who made the link.
    """
    (place / "linked").symlink_to("etc")
    assert owner_of(place / "linked", "here") == ANNA
    own = place / "var" / "own.ini"
    own.touch(mode=0o644)
    (place / "etc" / "conf.d" / "own.ini").symlink_to(own)
    assert decider_of_settings(place / "etc", "here") == 0
    os.chown(own, BOB, BOB)
    assert decider_of_settings(place / "etc", "here") == BOB
    os.chown(own, 0, 0)
    os.chown(place / "etc" / "conf.d" / "own.ini", BOB, BOB, follow_symlinks=False)
    assert decider_of_settings(place / "etc", "here") == BOB


@ROOT
def test_a_suite_that_has_never_run_is_roots(place: Path) -> None:
    """Without a state directory, and without settings, root's own rights suffice.

    They suffice to say what is missing.
    """
    os.chown(place / "var" / "state", 0, 0)
    assert owner_of(place / "etc", "here") == 0
    (place / "var" / "state").rmdir()
    assert owner_of(place / "etc", "here") == 0
    assert owner_of(place / "none", "here") == 0


@ROOT
@pytest.mark.parametrize("option", ["run", "log"])
@pytest.mark.parametrize(
    "how", ["another's", "below another's", "everybody's", "a link of another's"]
)
def test_a_suite_of_roots_uses_no_directory_of_another(place: Path, option: str, how: str) -> None:
    """It would work as root on whatever that user puts there: links, fifos, locks."""
    os.chown(place / "var" / "state", 0, 0)
    directories = {name: place / "var" / name for name in ("run", "log")}
    for directory in directories.values():
        directory.mkdir(mode=0o755)
    shown = "".join(f"{name}_dir = {directory}\n" for name, directory in directories.items())
    ini = place / "etc" / "warren.ini"
    ini.write_text(f"[app]\nstate_dir = {place}/var/state\n{shown}", encoding="utf-8")
    assert owner_of(place / "etc", "here") == 0
    (place / "of").mkdir(mode=0o755)
    os.chown(place / "of", BOB, BOB)
    path = directories[option]
    path.rmdir()
    if how == "another's":
        path.mkdir(mode=0o755)
        os.chown(path, BOB, BOB)
    elif how == "everybody's":
        path.mkdir(mode=0o755)
        path.chmod(0o777)
    elif how == "below another's":
        ini.write_text(
            ini.read_text(encoding="utf-8").replace(f"var/{option}", f"of/{option}"),
            encoding="utf-8",
        )
    else:
        path.symlink_to(place / "etc")
        os.chown(path, BOB, BOB, follow_symlinks=False)
    with pytest.raises(
        Untrusted, match=f"chmod go-w {path}$" if how == "everybody's" else rf"\[app\] {option}_dir"
    ):
        owner_of(place / "etc", "here")
    os.chown(place / "var" / "state", BOB, BOB)  # then root becomes that user, and it is his affair
    assert owner_of(place / "etc", "here") == BOB


@click.command("beat", cls=Verb)
@click.option("--user")
def daemons_verb(user: str) -> None:
    """Stand for a daemon.

    In a test the user has no right to read the settings of root, nor all of Python.
    """
    become(user)
    nobody = pwd.getpwnam("nobody")
    assert os.getuid() == nobody.pw_uid
    assert not {"PYTHONPATH", "LD_PRELOAD", "SSH_AUTH_SOCK", "SUDO_USER", "MAIL"} & set(os.environ)
    assert (os.environ["KEY"], os.environ["HOME"], os.environ["USER"]) == (
        "of the tasks",
        nobody.pw_dir,
        "nobody",
    )
    assert os.environ["PATH"].startswith("/usr/local/sbin:")


@ROOT
def test_a_daemon_of_an_init_script_has_an_environment_of_its_own() -> None:
    """With --user and no terminal, variables of root's session and interpreter go.

    What the tasks may need stays.
    """

    def start() -> None:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(2):
            os.dup2(null, number)
        with open(os.devnull, "w", encoding="utf-8") as nothing, redirect_stderr(nothing):
            os.environ.update(
                PYTHONPATH="/x",
                LD_PRELOAD="",
                SSH_AUTH_SOCK="/x",
                SUDO_USER="x",
                MAIL="/x",
                KEY="of the tasks",
            )
            daemons_verb.main(["--user", "nobody"], prog_name="warren", standalone_mode=False)

    assert end(child(start)) == 0
