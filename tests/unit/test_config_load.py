"""What `load` gives for sound files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from warren.app.factory import make_app
from warren.config import Rate, Settings, WorkerSettings

Loaded = Callable[..., Settings]

FLEET = """
[queue:two]
tasks = shop.crawl.2

[worker:crawl]
queues = crawl,
    default
concurrency = 4

[worker:others]
queues = one, two

[queue:crawl]
binding_key = crawl_task
tasks = shop.crawl.*

[queue:one]
tasks = shop.crawl.one

[quota:site]
limit = 60/10s
tasks = shop.crawl.*

[quota:all]
limit = 1000/h
tasks = shop.crawl.*
"""


def test_empty_file_gives_defaults(loaded: Loaded) -> None:
    """With an empty warren.ini every option has its default and the queue `default` exists.

    No server is needed.
    """
    settings = loaded()
    assert settings.broker.embedded
    assert settings.broker.kind == "embedded"
    assert settings.workers == {}
    assert settings.queues["default"].binding_key == "default"
    assert str(settings.app.state_dir) == "/var/lib/warren"


def test_later_files_win(loaded: Loaded) -> None:
    """hosts/HOST.ini wins over conf.d, and conf.d in the order of names over warren.ini."""
    settings = loaded(
        "[worker:a]\nconcurrency = 1\nprefetch = 1\nqueues = default",
        {
            "conf.d/20.ini": "[worker:a]\nprefetch = 3",
            "conf.d/10.ini": "[worker:a]\nprefetch = 2\nmax_tasks_per_child = 7",
            "conf.d/.#30.ini": "[worker:a]\nprefetch = 99",
            "conf.d/note.txt": "no INI",
            "hosts/here.ini": "[worker:a]\nconcurrency = 8",
            "hosts/there.ini": "[worker:a]\nconcurrency = 9",
        },
    )
    assert settings.workers["a"] == WorkerSettings(concurrency=8, prefetch=3, max_tasks_per_child=7)
    assert [path.name for path in settings.files] == ["warren.ini", "10.ini", "20.ini", "here.ini"]


def test_origin_of_values(loaded: Loaded) -> None:
    """Each value knows the file and line that decided it; one that nobody wrote says `default`."""
    settings = loaded(
        "[log]\nlevel = info\n", {"hosts/here.ini": "\n\n[log]\n# why\nlevel = debug"}
    )
    assert str(settings.origin("log", "level")) == f"{settings.directory}/hosts/here.ini:5"
    assert str(settings.origin("log")) == f"{settings.directory}/hosts/here.ini:3"
    assert str(settings.origin("log", "arguments")) == "default"


def test_values_are_typed(loaded: Loaded) -> None:
    """Text becomes what the option is: seconds, bytes, a rate, a list over several lines, JSON."""
    settings = loaded(
        FLEET + "[worker:w]\nstop_timeout = 1.5m\nmax_memory_per_child = 200MB\n"
        '[schedule:s]\ntask = t\nevery = 30s\nargs = [1,\n  {"a": null}]\nkwargs = {"x": 1.5}\n'
    )
    assert settings.workers["w"].stop_timeout == 90.0
    assert settings.workers["w"].max_memory_per_child == 200_000_000
    assert settings.workers["crawl"].queues == ("crawl", "default")
    assert settings.quotas["site"].limit == Rate(60, 10.0)
    assert settings.schedules["s"].args == [1, {"a": None}]
    assert settings.schedules["s"].kwargs == {"x": 1.5}


@pytest.mark.parametrize(
    ("more", "queues"),
    [
        ("[worker:a]\nqueues = all", {"all"}),
        ("[worker:a]\nqueues = all\n[worker:b]", {"all", "default"}),
        (
            "[worker:a]\nqueues = all\n[schedule:s]\ntask = t\nevery = 1h\nqueue = default",
            {"all", "default"},
        ),
        ("[worker:a]\nqueues = all\n[queue:default]", {"all", "default"}),
    ],
)
def test_a_queue_in_the_place_of_the_default_one(
    loaded: Loaded, more: str, queues: set[str]
) -> None:
    """Where a queue takes every task, `default` exists only if it is named.

    Tasks that no section routes go to the former.
    """
    settings = loaded("[broker]\nurl = redis://h\n[queue:all]\ntasks = *\n" + more)
    assert set(settings.queues) == queues
    assert settings.queue_of("shop.mail") == "all"
    assert make_app(settings).amqp.default_queue.name == "all"


def test_queue_and_quotas_of_a_task(loaded: Loaded) -> None:
    """A task goes to the queue that names it, else to a matching pattern's, else to `default`.

    All its quotas apply.
    """
    settings = loaded(FLEET)
    assert settings.queue_of("shop.crawl.one") == "one"
    assert settings.queue_of("shop.crawl.2") == "two"
    assert settings.queue_of("shop.crawl.two") == "crawl"
    assert settings.queue_of("shop.mail") == "default"
    assert settings.quotas_of("shop.crawl.two") == ("all", "site")
    assert settings.quotas_of("shop.mail") == ()
    assert settings.queues["crawl"].binding_key == "crawl_task"
    assert settings.queues["one"].binding_key == "one"


def test_settings_are_frozen(loaded: Loaded) -> None:
    """Nobody changes settings once they are loaded."""
    settings = loaded()
    with pytest.raises(ValidationError):
        settings.host = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.log.level = "debug"  # type: ignore[misc]
