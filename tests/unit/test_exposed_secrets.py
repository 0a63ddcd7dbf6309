"""Passwords in INI files that others may read."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from warren.config import load
from warren.errors import ConfigError

Etc = Callable[..., Path]


@pytest.fixture
def public() -> Iterator[Path]:
    """Yield a directory that every user of the machine may enter, as /etc/warren.

    pytest's own directories are closed to others.
    """
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def write(directory: Path, name: str, text: str, mode: int) -> Path:
    """A file of the configuration with that mode."""
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def problems(directory: Path) -> list[str]:
    """What is wrong with the configuration in the directory."""
    try:
        load(directory, "here")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


CELERY = json.dumps({"sentinel_kwargs": {"password": "hunter2"}})


@pytest.mark.parametrize("name", ["warren.ini", "conf.d/a.ini", "hosts/here.ini"])
@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("broker", "url = redis://:hunter2@h/0"),
        ("broker", "url = redis://hunter2@h/0"),
        ("broker", "url = amqp://u:hunter2@h;amqp://u:hunter2@i"),
        ("results", "url = rediss://u:hunter2@h/0"),
        ("celery", f"broker_transport_options = {CELERY}"),
    ],
)
def test_a_password_that_others_may_read_is_refused(
    public: Path, name: str, section: str, line: str
) -> None:
    """Whichever file has the secret, the problem has its line, its mode and the remedy.

    The password is not quoted.
    """
    write(public, "warren.ini", "[worker:a]\n", 0o644)
    head = "[worker:a]\n" if name == "warren.ini" else ""
    path = write(public, name, f"{head}[{section}]\n{line}\n", 0o644)
    (said,) = problems(public)
    number = 3 if head else 2
    assert said.startswith(
        f"{path}:{number}: [{section}] {line.split()[0]}: expected a file that only its owner may "
        "read (chmod 600)"
    )
    assert "found mode 0644" in said
    assert "hunter2" not in said
    for mode in (0o640, 0o604, 0o444):
        path.chmod(mode)
        # 0640 of root's own group is nobody else's
        assert f"mode {mode:04o}" in "".join(problems(public)) or mode == 0o640
    path.chmod(0o600)
    assert problems(public) == []


def test_a_file_of_another_group_is_read_by_its_members(public: Path) -> None:
    """Group warren reads the logs; what it may read is not only the suite's."""
    path = write(public, "warren.ini", "[broker]\nurl = redis://:hunter2@h/0\n", 0o640)
    try:
        os.chown(path, -1, 65534)
    except PermissionError:
        pytest.skip("needs root to give a file away")
    assert "mode 0640" in "".join(problems(public))


def test_a_closed_directory_guards_its_files(public: Path) -> None:
    """Who may not enter a directory reads nothing in it."""
    write(public, "warren.ini", "[broker]\nurl = redis://:hunter2@h/0\n", 0o644)
    public.chmod(0o700)
    assert problems(public) == []


@pytest.mark.parametrize(
    "text",
    [
        "[broker]\nurl = amqp://guest@h/v\n",
        "[broker]\nurl = redis://h:6379/0\n",
        "[broker]\nurl = rediss://h/0?ssl_keyfile=/etc/ssl/a.key\n",
        "[celery]\nbroker_heartbeat = 5\n",
    ],
)
def test_an_ini_without_a_password_may_be_public(public: Path, text: str) -> None:
    """A host, a user, a path are no secrets."""
    write(public, "warren.ini", text, 0o644)
    assert problems(public) == []
