"""Suites for the tests of real processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.suite import Suite
from support.supervised import SHIPPED, make, supervised
from warren.system.process import Process


@pytest.fixture
def suite(scratch: Path) -> Suite:
    """A suite that does not run yet, for tests that start it or change what it runs."""
    return make(scratch)


@pytest.fixture(scope="module")
def program_status() -> Iterator[tuple[Suite, Process]]:
    """A suite that runs with its supervisord, for tests that leave it as they found it."""
    with TemporaryDirectory(prefix="warren-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        made = make(Path(directory))
        shutil.copy(SHIPPED, made.etc)  # the others run without a file of their own
        old = os.umask(0)  # the weakest that there is
        try:
            with supervised(made) as supervisor:
                os.umask(old)
                yield made, supervisor
        finally:
            os.umask(old)
