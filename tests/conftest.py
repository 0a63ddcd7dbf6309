"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from support import figures
from support.servers import RabbitMQNode, rabbitmq_server, redis_server
from support.suite import Suite
from warren.app import make_app
from warren.config import load
from warren.config.folders import DEFAULT_LOG_DIR, DEFAULT_RUN_DIR, DEFAULT_STATE_DIR

DEFAULTS = (DEFAULT_STATE_DIR, DEFAULT_LOG_DIR, DEFAULT_RUN_DIR)

# Its deadline of 200 ms an example fails a test because the machine is busy; pytest has a limit of its own.
settings.register_profile("warren", deadline=None)
settings.load_profile("warren")


@pytest.fixture(autouse=True)
def the_machine_is_left_alone() -> Iterator[None]:
    """No test works with the default settings: what it makes there another test, or a suite of this machine, would find."""
    before = {folder for folder in DEFAULTS if folder.exists()}
    yield
    assert {folder for folder in DEFAULTS if folder.exists()} == before


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Redis."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A real RabbitMQ node."""
    with rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short path: a unix socket's may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="warren-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def app(suite: Suite) -> Any:
    """The app of the test's own `suite`."""
    return make_app(load(suite.etc))


@pytest.fixture
def worker(suite: Suite) -> Iterator[Any]:
    """The running worker `a` of the test's own `suite`."""
    with suite.running("worker", "a") as running:
        suite.await_event("worker", "ready")
        yield running


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> figures.Figure:
    """Notes what the test has measured; printed after the run."""
    return figures.noting(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that the tests of this run have measured."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    found = figures.lines(each for report in reports for each in report.user_properties)
    if found:
        terminalreporter.section("figures")
        for line in found:
            terminalreporter.line(line)
