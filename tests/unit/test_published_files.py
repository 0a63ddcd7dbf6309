"""Files that tasks publish: their names, their links, their end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from celery import Celery, shared_task

from warren.tasks.published_files import publish_file, published, remove_old
from warren.web.downloads import Links
from warren.web.refusals import Refused

TASK_ID = "3f0c2a5e-2a80-4f0e-8d4c-0c5d1d7f4f1a"


@shared_task
def report(name: str, mode: str = "w", fails: bool = False) -> None:
    """Publish a file of this name."""
    with publish_file(name, mode) as file:
        file.write("text" if mode == "w" else b"bytes")
        if fails:
            raise ValueError("no report")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    """An app that runs its tasks here."""
    made = Celery("files", set_as_current=True)
    made.conf.update(warren_state_dir=str(tmp_path), result_backend="cache+memory://")
    yield made
    made.close()


def run(name: str, mode: str = "w", fails: bool = False) -> BaseException | None:
    """Run the task here; return its error."""
    result = report.apply((name, mode, fails), task_id=TASK_ID)
    return result.result if isinstance(result.result, BaseException) else None


@pytest.mark.usefixtures("app")
def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A task that fails within the block publishes nothing, and leaves nothing."""
    assert isinstance(run("report.csv", fails=True), ValueError)
    assert published(tmp_path, TASK_ID) == []
    assert run("report.csv") is None
    assert run("b.bin", "wb") is None
    assert [(each.name, each.size) for each in published(tmp_path, TASK_ID)] == [
        ("b.bin", 5),
        ("report.csv", 4),
    ]
    directory = tmp_path / "published" / TASK_ID
    assert sorted(os.listdir(directory)) == ["b.bin", "report.csv"]
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "../x", "a\0", "a\n", "x" * 201])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """Nothing is written outside the directory of the task."""
    assert isinstance(run(name), ValueError)
    assert list(tmp_path.iterdir()) == []


def test_only_a_task_publishes() -> None:
    """A script has no id that a client could ask for."""
    with pytest.raises(RuntimeError, match="in a task"), publish_file("x"):
        pass
    with pytest.raises(ValueError, match="mode w or wb"), publish_file("x", "a"):
        pass


@pytest.mark.parametrize("task_id", ["", ".", "..", "../web", "a/b", "a\0"])
def test_an_id_that_names_no_directory(tmp_path: Path, task_id: str) -> None:
    """It has no files."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "link-key").write_bytes(b"k" * 32)
    assert published(tmp_path, task_id) == []
    assert Links(tmp_path, 60.0).of(task_id) == []


@pytest.mark.usefixtures("app")
def test_old_files_are_removed(tmp_path: Path) -> None:
    """With their directory; new ones stay."""
    run("old.csv")
    run("new.csv")
    directory = tmp_path / "published" / TASK_ID
    os.utime(directory / "old.csv", (100, 100))
    assert remove_old(tmp_path, 200.0, 60.0)
    assert os.listdir(directory) == ["new.csv"]
    os.utime(directory / "new.csv", (100, 100))
    assert remove_old(tmp_path, 200.0, 60.0)  # the directory has just changed
    os.utime(directory, (100, 100))
    assert remove_old(tmp_path, 200.0, 60.0)
    assert not directory.exists()
    assert remove_old(tmp_path / "nowhere", 200.0, 60.0)


@pytest.mark.usefixtures("app")
def test_a_link_and_its_end(tmp_path: Path) -> None:
    """Valid for its time, and for its file alone; also after a restart."""
    now = [1000.0]
    name = "a b/ü?.csv".replace("/", "-")
    run(name)
    (file,) = Links(tmp_path, 60.0, lambda: now[0]).of(TASK_ID)
    parts = urlsplit(str(file["url"]))
    given = {key: values[0] for key, values in parse_qs(parts.query).items()}
    assert [unquote(part) for part in parts.path.split("/")] == ["", "files", TASK_ID, name]
    links = Links(tmp_path, 1.0, lambda: now[0])
    with links.open(TASK_ID, name, given["until"], given["signature"]) as opened:
        assert opened.read() == b"text"
    run("other")
    for task_id, asked, until, signature in (
        (TASK_ID, "other", given["until"], given["signature"]),
        ("x", name, given["until"], given["signature"]),
        (TASK_ID, name, "9999999999", given["signature"]),
        (TASK_ID, name, given["until"], ""),
        (TASK_ID, name, given["until"], "\ud800"),
    ):
        with pytest.raises(Refused) as raised:
            links.open(task_id, asked, until, signature)
        assert raised.value.status == HTTPStatus.FORBIDDEN
    now[0] = 1061.0
    with pytest.raises(Refused) as raised:
        links.open(TASK_ID, name, given["until"], given["signature"])
    assert raised.value.status == HTTPStatus.GONE
    key = tmp_path / "web" / "link-key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_bytes(b"half")
    with pytest.raises(Refused):
        Links(tmp_path, 1.0, lambda: 0.0).open(TASK_ID, name, given["until"], given["signature"])
    assert len(key.read_bytes()) == 32
