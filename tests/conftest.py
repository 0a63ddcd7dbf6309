"""Fixtures that every directory of tests shares."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from support import figures, order, waits
from support.servers import RabbitMQNode, rabbitmq_server, redis_server
from support.suite import Suite
from support.wait import waits as waited
from warren.app.factory import make_app
from warren.config import load
from warren.config.paths import DEFAULT_LOG_DIR, DEFAULT_RUN_DIR, DEFAULT_STATE_DIR

DEFAULTS = (DEFAULT_STATE_DIR, DEFAULT_LOG_DIR, DEFAULT_RUN_DIR)

# Its deadline of 200 ms an example fails a test because the machine is busy; pytest has a limit of
# its own.
settings.register_profile("warren", deadline=None)
settings.load_profile("warren")

# A run in the background of a script (`scripts/test &`, nohup) is started with these ignored, and
# so would all be that it starts: then Ctrl-C ends no command. With a handler here, which ignores
# them as well, they have their usual meaning there.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


@pytest.fixture(autouse=True)
def the_machine_is_left_alone() -> Iterator[None]:
    """No test works with the default settings.

    What it makes there another test, or a suite of this machine, would find.
    """
    before = {directory for directory in DEFAULTS if directory.exists()}
    yield
    assert {directory for directory in DEFAULTS if directory.exists()} == before


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
    """A directory with a short path: a unix socket's may have 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="warren-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long begin first; else the order is that of chance, as before."""
    items.sort(key=lambda item: -order.seconds(item.path))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The waits of one test are those since the one before it."""
    waited.clear()
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add the waits so far to the report of each part of a test.

    The last report has them all.
    """
    item.user_properties = [each for each in item.user_properties if each[0] != waits.PROPERTY]
    item.user_properties += [(waits.PROPERTY, tuple(wait)) for wait in waits.worth_noting(waited)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that the tests of this run have measured.

    It also has which of them were near a deadline.
    """
    last: dict[str, pytest.TestReport] = {}
    for each in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(each, pytest.TestReport) and (
            each.nodeid not in last or each.when == "teardown"
        ):
            last[each.nodeid] = each
    found = figures.lines(each for report in last.values() for each in report.user_properties)
    if found:
        terminalreporter.section("figures")
        for line in found:
            terminalreporter.line(line)
    noted = [
        (test, value)
        for test, report in last.items()
        for name, value in report.user_properties
        if name == waits.PROPERTY
    ]
    terminalreporter.section("deadlines")
    for line in waits.lines(noted, len(last)):
        terminalreporter.line(line)
