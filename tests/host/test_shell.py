"""An operator's shell beside the hardened unit.

Both must mean the same processes and the same boot.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.host import Network
from support.installed import HEAD, WORKER, Installed
from support.package import ROOT
from support.wait import until


@pytest.fixture(scope="module")
def plain(net: Network, package: Path) -> Installed:
    """A suite on the embedded broker."""
    (host,) = net.hosts("plain")
    made = Installed(host, package, HEAD + WORKER, broker=False)
    made.start()
    return made


def test_a_command_takes_no_running_task_for_a_dead_ones(plain: Installed) -> None:
    """`warren call` as root looks for what dead processes left.

    A running worker in the unit's own /proc is not dead.
    """
    plain.send(1, 2, 4)
    until(lambda: plain.runs().begun.keys() >= {1, 2}, what="two running tasks")
    plain.host.run("warren", "call", "jobs.run", "3")
    runs = plain.all_done(1, 3)
    assert max(runs.begun.values()) == 1
    assert not any(
        plain.logged(daemon, "messages_restored") for daemon in ("worker", "quota-watchdog")
    )


def test_root_sends_as_the_user_of_the_suite(plain: Installed) -> None:
    """Whatever root's umask is, the suite can read what root has sent.

    Nothing in its directories is root's.
    """
    plain.host.sh("umask 0777; warren call jobs.run 4 --wait 60", within=120)
    assert plain.host.sh("find /var/lib/warren /run/warren /var/log/warren ! -user warren") == ""


def test_the_user_of_the_suite_may_ask(plain: Installed) -> None:
    """Status, health and logs work for the suite's user and for root.

    No other user may read settings or logs.
    """
    for verb in ("status", "health", "logs"):
        for user in ("root", "warren"):
            plain.host.run("runuser", "-u", user, "--", "warren", verb)
    assert (
        plain.host.run("runuser", "-u", "nobody", "--", "warren", "logs", check=False).returncode
        != 0
    )


def test_the_first_task_of_the_guide(plain: Installed) -> None:
    """docs/install.md leads from the package to a task that ran.

    Each line is typed as it stands there, and then the lines that remove it.
    """
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    _, made, taken = re.split(r"^    (?=cp -rT|rm -r)", text, flags=re.MULTILINE)
    try:
        said = [plain.host.sh(line) for line in lines(made)]
        assert len(said) == 5
        assert [answer.split()[-1] for answer in said[-2:]] == ["107.0", "107.0"]
    finally:
        for line in lines(taken):
            plain.host.sh(line)


def lines(text: str) -> list[str]:
    """The commands at the beginning of the text, to the end of their block."""
    return [line.strip() for line in text.split("\n\n")[0].splitlines()]
