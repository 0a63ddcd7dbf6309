"""Who a number is, and who alone asks the host for that."""

from __future__ import annotations

import ast
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.forks import child, end
from warren.system import users
from warren.system.users import User

SOURCE = Path(__file__).parents[2] / "daemons" / "warren"
#: A number that no user and no group of a host has.
NOBODY_HAS = 3_999_999_999


def test_a_number_has_the_name_that_the_host_gives_it() -> None:
    """Users and groups are named; a number without a name stands for itself."""
    assert users.user_name(0) == "root"
    assert users.group_name(0) == grp.getgrgid(0).gr_name
    assert users.user_name(NOBODY_HAS) == users.group_name(NOBODY_HAS) == str(NOBODY_HAS)
    assert users.user_of(NOBODY_HAS) == User(NOBODY_HAS, NOBODY_HAS, (), str(NOBODY_HAS))


def test_a_user_is_the_same_by_number_and_by_name() -> None:
    """The record has the host's own figures, with all groups; an unknown name has none."""
    entry = pwd.getpwnam("nobody")
    groups = tuple(os.getgrouplist("nobody", entry.pw_gid))
    assert users.user_named("nobody") == User(
        entry.pw_uid, entry.pw_gid, groups, "nobody", entry.pw_dir
    )
    assert users.user_of(entry.pw_uid) == users.user_named("nobody")
    assert users.user_named("no such user") is None


def test_the_environment_does_not_name_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages name the user whose rights count, whatever USER and LOGNAME say."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "another")
    assert users.own_name() == users.user_name(os.geteuid())


@pytest.mark.parametrize(
    ("mode", "text"), [(0o640, "0640"), (stat.S_IFDIR | 0o1777, "1777"), (0, "0000")]
)
def test_a_mode_is_told_as_chmod_takes_it(mode: int, text: str) -> None:
    """Four digits, without the kind of the file."""
    assert users.mode_text(mode) == text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_taking_rights_leaves_nothing_of_roots() -> None:
    """Number, group and supplementary groups are the user's, and the way back is closed."""

    def run() -> None:
        users.take_rights(User(1201, 1202, (1203,)))
        assert os.getresuid() == (1201, 1201, 1201)
        assert os.getresgid() == (1202, 1202, 1202)
        assert os.getgroups() == [1203]
        with pytest.raises(PermissionError):
            os.setuid(0)

    assert end(child(run)) == 0


def test_one_file_alone_asks_the_host_for_users() -> None:
    """No second place knows the name of a user: the libraries for it are imported once."""
    asking = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if {"pwd", "grp", "getpass"} & set(_imported(path))
    }
    assert asking == {"system/users.py"}


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
