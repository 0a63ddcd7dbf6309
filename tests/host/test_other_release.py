"""Warren on the other release of Debian that it is for.

It is a short form of what the rest of this directory promises for this release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import releases
from support.figures import Figure
from support.host import network
from support.installed import RABBITMQ, WORKER, Installed
from support.package import deb
from support.wait import until

SETTINGS = RABBITMQ + WORKER + "[schedule:tick]\ntask = jobs.nothing\nevery = 5s\n"
#: Made of what the network gives: the root of that release and the package. Whoever comes first
#: waits for both.
pytestmark = pytest.mark.timeout(2 * releases.MADE_WITHIN + 1200)
PROGRAMS = ("worker-main", "beat", "quota-watchdog")
PYTHON = "/usr/lib/warren/bin/python"


@pytest.fixture(scope="module")
def built() -> Path:
    """The package as the other release builds it, whose root takes minutes, once."""
    return deb(release=releases.other())


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A host of the other release with RabbitMQ, and on it the package."""
    with network(tmp_path_factory.mktemp("net"), releases.other()) as net:
        (host,) = net.hosts("other")
        yield Installed(host, built, SETTINGS)


@pytest.fixture
def suite(installed: Installed) -> Installed:
    """The suite, started with the settings of this file."""
    installed.configure(SETTINGS)
    installed.start()
    return installed


def test_the_suite_works_there(suite: Installed, figure: Figure) -> None:
    """The host and the package's Python are of that release, and tasks are done."""
    assert f"VERSION_CODENAME={releases.other()}\n" in suite.host.read("/etc/os-release")
    versions = suite.host.sh(f"/usr/bin/python3 -V; {PYTHON} -V").splitlines()
    assert versions[0] == versions[1]
    systemd = suite.host.sh("systemctl --version | head -n 1").strip()
    broker = suite.host.sh("rabbitmqctl -q version").strip()
    figure(
        "the other release", f"{versions[0]}, {systemd}, RabbitMQ {broker}", "all of that release"
    )
    assert all(suite.pid(program) for program in PROGRAMS)
    suite.send(1, 20)
    # In another order a process was killed before, and its task has run again.
    assert not [number for number in suite.all_done(1, 20).again() if number <= 20]
    assert suite.host.run("warren", "status").returncode == 0


def test_a_stray_line_is_told_with_its_place(suite: Installed) -> None:
    """`warren check` names file, line and text of a line that is no option, and says what to do."""
    suite.configure(SETTINGS + "stray\n")
    checked = suite.host.run("warren", "check", check=False)
    assert checked.returncode == 78
    assert f"warren.ini:{len(SETTINGS.splitlines()) + 1}: " in checked.stderr
    assert "'stray'" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_the_quickstart_works_there(suite: Installed) -> None:
    """The first command of the README, by the package's own Python: all is as promised."""
    arguments = (PYTHON, "-P", "-m", "warren.demo.quickstart", "--documents", "60", "--json")
    done = suite.host.run("runuser", "-u", "warren", "--", *arguments, within=600)
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["documents"], said["refused"], said["lost"]) == (60, 0, 0)


@pytest.mark.parametrize(("victim", "first"), [("worker", 1000), ("supervisord", 2000)])
def test_who_is_killed_is_there_again(suite: Installed, victim: str, first: int) -> None:
    """After kill -9 of a worker or of supervisord with running tasks the suite recovers.

    It is ready by itself, and each task is done.
    """
    suite.send(first, first + 39, 0.2)
    until(lambda: suite.runs().begun[first], what="the first task to begin")
    worker, old = (
        until(lambda: suite.pid("worker-main"), what="a ready worker"),
        suite.supervisord(),
    )
    suite.host.run("kill", "-KILL", str(worker if victim == "worker" else old))
    suite.another("worker-main", worker)
    suite.all_done(first, first + 39)
    until(lambda: suite.host.show("warren", "ActiveState") == "active", what="an active unit")
    assert (suite.supervisord() == old) == (victim == "worker")


def test_a_reload_adds_what_was_written(suite: Installed) -> None:
    """`systemctl reload` returns with one more worker.

    The others are the same processes.
    """
    before = [suite.supervisord(), suite.pid("worker-main")]
    suite.configure(SETTINGS + "[worker:more]\nqueues = more\nconcurrency = 1\n[queue:more]\n")
    suite.reload()
    until(lambda: suite.pid("worker-more"), what="the added worker")
    assert [suite.supervisord(), suite.pid("worker-main")] == before


def test_the_broker_is_set_up_there(suite: Installed) -> None:
    """`warren broker init` gives the suite a user and a virtual host on that RabbitMQ.

    A lost URL gets a new password.
    """
    command = ("warren", "broker", "init", "--user", "another", "--json")
    for first in (True, False):
        suite.host.run("rm", "/etc/warren/secrets/broker-url")
        said = json.loads(suite.host.run(*command, within=300).stdout)
        outcomes = {step["step"]: step["outcome"] for step in said["steps"]}
        assert (outcomes["url"], outcomes["user"]) == ("done", "done")
        assert outcomes["vhost"] == ("done" if first else "unchanged")
    suite.reload()
    suite.send(3000, 3002)
    suite.all_done(3000, 3002)
    again = json.loads(suite.host.run(*command, within=300).stdout)
    assert {step["outcome"] for step in again["steps"]} == {"unchanged"}, again


def test_purge_leaves_nothing(suite: Installed, built: Path) -> None:
    """`apt purge` ends every process and removes every directory.

    The package can be installed again.
    """
    suite.host.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq purge warren")
    assert not suite.processes()
    directories = (
        "/etc/warren",
        "/var/lib/warren",
        "/var/log/warren",
        "/usr/lib/warren",
        "/usr/bin/warren",
    )
    assert [
        each
        for each in directories
        if suite.host.run("test", "-e", each, check=False).returncode == 0
    ] == []
    suite.set_up(built, SETTINGS)
