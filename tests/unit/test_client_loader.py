"""A program of a project has Warren's settings by two variables of its environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from warren.errors import ConfigError

LOADER = "warren.app.client_loader:Loader"
MADE: list[Celery] = []  # the apps of the running test
INI = """
[app]
state_dir = {0}/state
[queue:pages]
tasks = shop.fetch
[queue:slow]
[celery]
task_compression = gzip
"""


class Own:
    """The settings of a project, as a module or Django has them."""

    CELERY_BROKER_URL = "redis://:geheim@elsewhere/0"
    CELERY_TASK_SERIALIZER = "pickle"
    CELERY_RESULT_EXTENDED = True


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory of the settings, which the environment names; closes the apps afterwards."""
    (tmp_path / "warren.ini").write_text(INI.format(tmp_path), encoding="utf-8")
    monkeypatch.setenv("WARREN_CONFIG", str(tmp_path))
    monkeypatch.setenv("WARREN_HOST", "host")
    yield tmp_path
    while MADE:
        MADE.pop().close()


def project() -> Celery:
    """A project's app: it reads its settings, and sets others afterwards."""
    app = Celery("shop", loader=LOADER, set_as_current=False)
    MADE.append(app)
    app.config_from_object(Own, namespace="CELERY")
    app.conf.task_always_eager = True
    app.conf.update(broker_url="redis://other", result_extended=False)
    app.conf.task_routes = {"shop.report": {"queue": "slow"}}
    return app


def sent(app: Celery, monkeypatch: pytest.MonkeyPatch, task: str) -> Any:
    """The queue that a task goes to."""
    found: list[Any] = []

    def send(self: Any, message: Any, exchange: Any, routing_key: Any, **_: Any) -> None:
        found.append(routing_key)

    monkeypatch.setattr("warren.broker.embedded.channel.Channel.basic_publish", send)
    app.send_task(task, ignore_result=True)
    return found[0]


def test_the_settings_of_the_ini_win(directory: Path) -> None:
    """Also over those that the project sets later; what Warren has no word in stays."""
    conf = project().conf
    assert (conf.broker_url, conf.task_serializer) == ("warren://", "json")
    assert conf.task_always_eager is False
    assert conf.result_backend == (
        f"warren.broker.embedded.file_results:Backend+file://{directory}/state/results"
    )
    assert conf.task_compression == "gzip"
    assert conf.result_extended is False


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(
    ("task", "queue"), [("shop.fetch", "pages"), ("shop.report", "slow"), ("x", "default")]
)
def test_a_task_goes_where_the_ini_says(
    monkeypatch: pytest.MonkeyPatch, task: str, queue: str
) -> None:
    """By the patterns of the INI, then by the routes of the project."""
    assert sent(project(), monkeypatch, task) == queue


@pytest.mark.usefixtures("directory")
def test_settings_that_are_read_again() -> None:
    """A project may name its settings twice."""
    app = project()
    assert app.conf.broker_url == "warren://"
    app.config_from_object(Own, namespace="CELERY", force=True)
    assert app.conf.broker_url == "warren://"
    assert sum(type(each).__name__ == "Front" for each in app.conf.maps) == 1


def test_wrong_settings(directory: Path) -> None:
    """The program's first use of its app says what is wrong with the INI files."""
    (directory / "warren.ini").write_text("[worker:a]\nconcurrency = many\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="concurrency"):
        print(project().conf.broker_url)
