"""Hosts for the tests of this folder: booted once a module, each with an installed Warren where the module asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.host import Network, network


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A network without hosts."""
    with network(tmp_path_factory.mktemp("net")) as made:
        yield made
