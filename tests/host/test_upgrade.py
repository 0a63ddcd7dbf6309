"""The package on a host: installed, upgraded under load, removed, purged."""

from __future__ import annotations

import pytest

from support.figures import Figure
from support.host import Network
from support.installed import RABBITMQ, WORKER, Installed
from support.package import deb
from support.wait import until

TASKS = 400
EDITED = RABBITMQ + WORKER + "# edited by an operator\n"


@pytest.fixture
def older(net: Network) -> Installed:
    """A host on which the version before this one is at work, with settings that an operator has edited."""
    (host,) = net.hosts("older")
    made = Installed(host, deb("0.0.9"), EDITED)
    made.start()
    return made


def test_an_upgrade_under_load_loses_nothing(older: Installed, figure: Figure) -> None:
    """apt installs the new package while tasks run: each is done once, the edited files stay, the new version is at work."""
    assert older.host.run("warren", "--version").stdout.split()[-1] == "0.0.9"
    newer = deb()
    older.send(1, TASKS, 0.2)
    until(lambda: older.runs().ended, what="the first task to end")
    before = older.pid("worker-main")
    older.install(newer)
    assert older.host.run("warren", "--version").stdout.split()[-1] != "0.0.9"
    left = TASKS - len(older.runs().ended)
    runs = older.all_done(1, TASKS)
    figure(f"upgrade with {TASKS} tasks queued: lost", len(runs.lost(1, TASKS)), "0")
    figure(f"upgrade with {TASKS} tasks queued: run twice", len(runs.again()), "0")
    assert left > 0, "the upgrade was to meet tasks at work"
    assert not runs.again()
    assert older.host.read("/etc/warren/warren.ini") == EDITED
    assert older.host.show("warren", "ActiveState") == "active"
    assert older.pid("worker-main") != before


def test_an_upgrade_that_cannot_start_the_suite_says_why(suite: Installed) -> None:
    """dpkg ends well, and what is printed has the place of the mistake and the way on."""
    suite.configure(EDITED + "[log]\nlevel = loud\n")
    said = suite.host.sh("dpkg --install --force-confold /root/warren_*.deb 2>&1", within=170)
    assert "[log] level: expected " in said
    assert "warren check && warren start" in said
    suite.configure(EDITED)
    suite.host.run("warren", "start")


def test_remove_keeps_data_and_purge_takes_them(suite: Installed) -> None:
    """`apt remove` ends the suite and keeps settings, state and logs; `apt purge` leaves nothing but the tasks' own code.

    A log folder that is a file system of its own cannot go: it is emptied, and the purge is whole.
    """
    suite.configure(EDITED)
    suite.send(1, 1)
    suite.all_done(1, 1)
    suite.host.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq remove warren")
    assert not suite.processes()
    assert suite.host.read("/etc/warren/warren.ini") == EDITED
    assert suite.host.read("/var/lib/warren/runs")
    assert suite.host.read("/var/log/warren/worker.log")
    assert suite.host.run("sh", "-c", "command -v warren", check=False).returncode != 0
    suite.host.sh("mount --bind /var/log/warren /var/log/warren")
    suite.host.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq purge warren")
    assert suite.host.sh("ls -A /var/log/warren; umount /var/log/warren") == ""
    gone = (
        "/etc/warren",
        "/var/lib/warren",
        "/etc/monit/conf.d/warren-page",
        "/usr/lib/warren",
        "/usr/bin/warren",
        "/etc/logrotate.d/warren",
    )
    assert [path for path in gone if suite.host.run("test", "-e", path, check=False).returncode == 0] == []
