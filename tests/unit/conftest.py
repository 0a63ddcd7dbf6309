"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from warren.broker.embedded.messages import Messages
from warren.broker.embedded.topology import Topology
from warren.config import Settings, load
from warren.errors import ConfigError, Problem

Written = Callable[..., Path]
Loaded = Callable[..., Settings]
Refused = Callable[..., list[Problem]]


@pytest.fixture
def etc(tmp_path: Path) -> Written:
    """Write a configuration directory.

    It has the text of warren.ini, then files by their path within the directory.
    """

    def write(text: str = "", files: dict[str, str] | None = None) -> Path:
        directory = tmp_path / "etc"
        for name, content in {"warren.ini": text, **(files or {})}.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(content, encoding="utf-8")
        return directory

    return write


@pytest.fixture
def loaded(etc: Written) -> Loaded:
    """Loads such a directory as host `here`."""
    return lambda text="", files=None: load(etc(text, files), "here")


@pytest.fixture
def refused(etc: Written) -> Refused:
    """The problems for which such a directory is refused."""

    def problems(text: str = "", files: dict[str, str] | None = None) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            load(etc(text, files), "here")
        return list(caught.value.problems)

    return problems


@pytest.fixture
def messages(tmp_path: Path) -> Messages:
    """A broker's directory with the queue `q`."""
    found = Messages(tmp_path)
    found.open()
    topology = Topology(tmp_path)
    topology.open()
    topology.declare_queue("q", temporary=False)
    return found
