"""The directory of a run: its settings, and what must not stay in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.wait import run_to_end
from warren.config import load
from warren.demo.quickstart import scratch
from warren.demo.quickstart.scratch import Scratch
from warren.errors import CannotWrite


def test_the_settings_of_a_run_are_right(tmp_path: Path) -> None:
    """The INI file that is written passes every check.

    It puts only the collection under the quota.
    """
    made = scratch.make(tmp_path, None)
    settings = load(made.config)
    assert settings.broker.embedded
    assert settings.queue_of("warren.demo.collect") == "documents"
    assert settings.quotas_of("warren.demo.collect") == ("documents",)
    assert settings.quotas_of("warren.demo.add") == ()
    assert {queue for worker in settings.workers.values() for queue in worker.queues} == {
        "documents",
        "default",
    }
    assert sum(worker.concurrency for worker in settings.workers.values()) == 4


def test_runs_on_one_broker_do_not_meet(tmp_path: Path) -> None:
    """On a shared broker, no queue, worker or app of a run has a name that another run has."""
    runs = [scratch.make(tmp_path / name, "redis://127.0.0.1/0") for name in "ab"]
    one, other = (load(run.config) for run in runs)
    assert set(runs[0].queues).isdisjoint(runs[1].queues)
    assert one.workers.keys().isdisjoint(other.workers)
    assert one.app.name != other.app.name
    for run, settings in zip(runs, (one, other), strict=True):
        assert {queue for worker in settings.workers.values() for queue in worker.queues} == set(
            run.queues
        )
        assert set(settings.queues) == set(run.queues)  # not `default`, which is others' as well
        assert settings.queue_of("warren.demo.tick") in run.queues


def test_the_url_of_the_broker_is_its_owners_alone(tmp_path: Path) -> None:
    """The URL, which may hold a password, stands in no file that others may read."""
    made = scratch.make(tmp_path, "amqp://me:secret@127.0.0.1//")
    holders = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and "secret" in path.read_text(encoding="utf-8")
    ]
    assert [path.stat().st_mode & 0o777 for path in holders] == [0o600]
    assert str(load(made.config).broker.url) == "**********"


def test_a_directory_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    """A run writes into an empty directory and no other."""
    (tmp_path / "mine").touch()
    with pytest.raises(CannotWrite, match="expected an empty directory, found mine"):
        scratch.make(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_directory_of_its_own_is_private_and_short() -> None:
    """Without a name the directory is a new private one, with room for a socket's path."""
    homes = [scratch.make(None, None).home for _ in range(2)]
    try:
        assert homes[0] != homes[1]
        assert all(home.stat().st_mode & 0o777 == 0o700 for home in homes)
        assert all(len(str(home)) < 30 for home in homes)
    finally:
        for home in homes:
            run_to_end(["rm", "-r", str(home)], check=True)


def test_only_a_directory_of_its_own_is_discarded(tmp_path: Path) -> None:
    """A run that never began leaves nothing.

    In a directory that the user named only the broker's URL is removed.
    """
    own, named = (
        scratch.make(None, "redis://127.0.0.1/0"),
        scratch.make(tmp_path, "redis://127.0.0.1/0"),
    )
    for made in (own, named):
        made.discard()
    assert not own.home.exists()
    assert [path.name for path in named.config.iterdir()] == ["warren.ini"]


def test_the_names_of_a_scratch_say_where_things_are() -> None:
    """Tasks and quickstart agree on the files of a run."""
    made = Scratch(Path("/home"))
    told = made.settings("http://127.0.0.1:1")
    assert made.settings_file == Path("/home/state/demo/demo.json")
    assert told.ticks == made.settings_file.parent / "ticks.jsonl"
    assert os.path.commonpath([told.directory, made.home]) == "/home"
