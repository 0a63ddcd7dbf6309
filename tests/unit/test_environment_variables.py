"""`[app] environment` and `environment_file`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from warren.app.project_environment import set_variables
from warren.config import Settings
from warren.config.affected_daemons import affects_sending, affects_worker
from warren.config.environment_variables import variables
from warren.config.rendering import entries
from warren.config.units import Unexpected

Loaded = Callable[..., Settings]
Refused = Callable[..., Any]


@pytest.fixture
def secrets(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of variables."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = tmp_path / "secrets"
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    return write


def test_lines() -> None:
    """One a line, as people write them: comments, empty lines, quotes, = in the value."""
    text = "\n  A=1\n\n# no\nB = \n".replace("B = ", "B=") + 'C=\'x y\'\nD=a=b # c\nE="\nf=""\n'
    assert variables(text) == {
        "A": "1",
        "B": "",
        "C": "x y",
        "D": "a=b # c",
        "E": '"',
        "f": "",
    }
    assert variables("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hush", "expected lines NAME=value, found no = in line 1 of them"),
        ("A=1\nhush", "expected lines NAME=value, found no = in line 2 of them"),
        ("path = /hush", "'_', found another name in line 1 of them"),
        ("1A=hush", "'_', found another name in line 1 of them"),
        ("export A=hush", "'_', found another name in line 1 of them"),
        ("ä=hush", "'_', found another name in line 1 of them"),
        ("A=hush\nA=2", "expected each name once, found 'A' again"),
        ("PATH=/hush", "libraries and commands do not read, found 'PATH'"),
        ("LD_PRELOAD=hush", "libraries and commands do not read, found 'LD_PRELOAD'"),
        ("PYTHONPATH=hush", "libraries and commands do not read, found 'PYTHONPATH'"),
        ("WARREN_CONFIG=hush", "libraries and commands do not read, found 'WARREN_CONFIG'"),
        ("CELERY_BROKER_URL=hush", "no option of Warren replaces, found 'CELERY_BROKER_URL'"),
        ("A=\0hush", "expected text, found a NUL character in the value of 'A'"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    """With the name or the number of the line, and never with a value."""
    with pytest.raises(Unexpected) as caught:
        variables(text)
    error = caught.value
    assert f"expected {error.expected}, found {error.found}".endswith(said)
    assert "hush" not in f"{error.expected} {error.found}"


def test_both_options(
    loaded: Loaded, secrets: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process has both; the settings show the values of one."""
    file = secrets("SHOP_DB=postgres://u:hush@h\nPLAIN=seen\n")
    settings = loaded(
        f"[app]\nenvironment =\n    WHERE=shop.settings\n    OTHER=a b\nenvironment_file = {file}\n"
    )
    for name in ("WHERE", "OTHER", "SHOP_DB", "PLAIN"):
        monkeypatch.setenv(name, "before")
    set_variables(settings)
    assert os.environ["WHERE"] == "shop.settings"
    assert os.environ["SHOP_DB"] == "postgres://u:hush@h"
    said = {entry.option: entry.value for entry in entries(settings) if entry.section == "app"}
    assert said["environment"] == "WHERE=shop.settings OTHER=a b"
    assert said["environment_file"] == str(file)
    assert "hush" not in repr(settings)
    assert "hush" in settings.accepted.to_text()  # a daemon reads what was accepted


@pytest.mark.parametrize(
    ("ini", "text", "mode", "said"),
    [
        ("", "A=hush", 0o644, "expected a file that only its owner may read (chmod 600), found "),
        ("", "hush", 0o600, "expected lines NAME=value, found no = in line 1 of them at "),
        ("environment = B=1\n", "B=hush", 0o600, "expected no name of [app] environment, found B"),
        ("", "A=" + "hush" * 20000, 0o600, "expected at most 65536 bytes, found more at "),
    ],
)
def test_a_file_that_is_refused(
    refused: Refused, secrets: Callable[..., Path], ini: str, text: str, mode: int, said: str
) -> None:
    """At the line of the option."""
    file = secrets(text, mode)
    (problem,) = refused(f"[app]\nenvironment_file = {file}\n{ini}")
    assert "warren.ini:2: [app] environment_file: " in str(problem)
    assert said in str(problem)
    assert "hush" not in str(problem)


def test_a_missing_file(refused: Refused, tmp_path: Path) -> None:
    """The operator reads how to make it."""
    (problem,) = refused(f"[app]\nenvironment_file = {tmp_path}/none\n")
    assert problem.remedy == "make the file with lines NAME=value (chmod 600), or remove the line"


def test_a_secret_in_an_ini_file(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that looks like one may not stand where others may read."""
    monkeypatch.setattr("warren.config.exposed_secrets.others_may_read", lambda path: "mode 0644")
    (problem,) = refused("[app]\nenvironment =\n    SECRET_KEY=hush\n")
    assert "environment_file" in problem.remedy
    assert "hush" not in str(problem)


def test_whom_an_edit_concerns(loaded: Loaded, secrets: Callable[..., Path]) -> None:
    """Workers and beat: their project's code has read the old values."""
    text = "[worker:a]\n[app]\nenvironment_file = {}\nenvironment = B={}\n"
    one = loaded(text.format(secrets("A=1"), 1))
    assert not affects_worker(one, loaded(text.format(secrets("A=1"), 1)), "a")
    for other in (
        loaded(text.format(secrets("A=2"), 1)),
        loaded(text.format(secrets("A=1"), 2)),
    ):
        assert affects_worker(one, other, "a")
        assert affects_sending(one, other)
