"""Hosts for the tests of this directory, booted once a module.

Warren's package is installed where a module asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Network, network
from support.installed import RABBITMQ, WORKER, Installed
from support.package import deb


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network without hosts."""
    with network(tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture(scope="session")
def package() -> Path:
    """The Debian package of this tree."""
    return deb()


@pytest.fixture(scope="module")
def suite(net: Network, package: Path) -> Installed:
    """A host with RabbitMQ, and the suite started on it: a worker, beat and the quota-watchdog."""
    (host,) = net.hosts("server")
    made = Installed(
        host, package, RABBITMQ + WORKER + "[schedule:tick]\ntask = jobs.nothing\nevery = 5s\n"
    )
    made.start()
    return made
