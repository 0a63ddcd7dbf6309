"""Settings read again from what their files held when they were accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from warren.config import Settings, attempt, load, load_again
from warren.config.snapshot import ACCEPTED, Accepted, read, source
from warren.errors import Unavailable

Written = Callable[..., Path]
INI = "[broker]\nurl_file = {}\n[worker:a]\nqueues = a\n[queue:a]\n"


def kept(settings: Settings, directory: Path) -> Path:
    place = directory / "settings.json"
    place.write_text(settings.accepted.to_text())
    return place


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "url"
    path.touch(mode=0o600)
    path.write_text("redis://:first@h/1")
    return path


def test_nothing_that_was_written_since_counts(etc: Written, secret: Path, tmp_path: Path) -> None:
    """Files and secrets are those of the acceptance, each value with its place in the INI file."""
    directory = etc(
        INI.format(secret),
        {
            "conf.d/x.ini": "[quota:q]\nlimit = 5/h\n",
            "hosts/here.ini": "[worker:a]\nconcurrency = 3\n",
        },
    )
    first = load(directory, "here")
    place = kept(first, tmp_path)
    secret.write_text("redis://:second@h/1")
    etc("[worker:a]\nconcurency = 1\n", {"conf.d/x.ini": "[quota:q]\nlimit = 500/h\n"})
    again = load(directory, "here", place)
    same = {
        name: getattr(again, name)
        for name in ("files", "broker", "workers", "quotas", "origins", "generation")
    }
    assert same == {name: getattr(first, name) for name in same}
    assert str(again.origin("worker:a", "concurrency")) == f"{directory}/hosts/here.ini:2"
    assert load_again(again).quotas == first.quotas
    assert attempt(directory, "here")[1]


def test_a_later_reading_has_a_higher_generation(etc: Written) -> None:
    """Two readings are in the order in which they began."""
    directory = etc()
    assert 0 < load(directory, "here").generation < load(directory, "here").generation


def test_bytes_come_back_as_they_were(tmp_path: Path) -> None:
    """Also those that are no text: what is wrong with a file is found by the check of it."""
    before = Accepted(3, {Path("/etc/a.ini"): b"\xff\x00[a]\r\n\xc3\xa4"}, {Path("/etc/s"): "x"})
    (tmp_path / "kept").write_text(before.to_text())
    assert read(tmp_path / "kept") == before


def test_a_mode_that_was_changed_since_is_no_reason_to_refuse(
    etc: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode of a file with a password is judged when it is accepted, and at each check."""
    directory = etc("[broker]\nurl = redis://:secret@h/1\n")
    settings = load(directory, "here")
    monkeypatch.setattr("warren.config.exposed_secrets.others_may_read", lambda path: "mode 0644")
    assert load(directory, "here", kept(settings, tmp_path)).broker == settings.broker
    checked = settings.model_copy(update={"accepted": replace(settings.accepted, generation=0)})
    assert [
        problem.option for problem in attempt(directory, "here", kept(checked, tmp_path))[1]
    ] == ["url"]


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"generation": 1, "files": {"a": 1}, "secrets": {}}', None]
)
def test_what_was_spoilt_is_to_be_tried_again(tmp_path: Path, text: str | None) -> None:
    """It is no configuration error, which would be final: supervise writes it again."""
    place = tmp_path / "settings.json"
    if text is not None:
        place.write_text(text)
    with pytest.raises(Unavailable, match=r"settings\.json"):
        read(place)


def test_what_a_daemon_starts_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is taken out of the environment: a command that a task calls reads the files."""
    monkeypatch.setenv(ACCEPTED, "/run/settings.json")
    assert source() == Path("/run/settings.json")
    assert source() is None
