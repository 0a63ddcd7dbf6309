"""The package on a host: installed, upgraded under load, removed, purged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.figures import Figure
from support.host import Network
from support.installed import RABBITMQ, WORKER, Installed
from support.package import deb
from support.wait import until

#: Seconds that a task takes; two run at a time.
EACH = 0.2
EDITED = RABBITMQ + WORKER + "# edited by an operator\n"


@pytest.fixture
def older(net: Network) -> Installed:
    """Yield a host on which the version before this one runs.

    An operator has edited its settings.
    """
    (host,) = net.hosts("older")
    made = Installed(host, deb("0.0.9"), EDITED)
    made.start()
    return made


@pytest.fixture
def present(suite: Installed, package: Path) -> Installed:
    """The suite at work, with its package: an earlier test may have removed it."""
    if suite.host.run("sh", "-c", "command -v warren", check=False).returncode != 0:
        suite.set_up(package, EDITED)
    suite.configure(EDITED)
    suite.start()
    return suite


def test_an_upgrade_under_load_loses_nothing(older: Installed, figure: Figure) -> None:
    """apt installs the new package while tasks run, and each is done once.

    The edited files stay, and the new version runs.
    """
    assert older.host.run("warren", "--version").stdout.split()[-1] == "0.0.9"
    newer, began = deb(), time.monotonic()
    older.install(deb("0.0.9"))  # to see how long it takes here: there must be tasks for longer
    tasks = max(400, int(3 * (time.monotonic() - began) / EACH * 2))
    older.send(1, tasks, EACH)
    until(lambda: older.runs().ended, what="the first task to end")
    before = older.pid("worker-main")
    older.install(newer)
    assert older.host.run("warren", "--version").stdout.split()[-1] != "0.0.9"
    left = tasks - len(older.runs().ended)
    runs = older.all_done(1, tasks, 600)
    figure(f"upgrade with {tasks} tasks queued: lost", len(runs.lost(1, tasks)), "0")
    figure(f"upgrade with {tasks} tasks queued: run twice", len(runs.again()), "0")
    assert left > 0, "the upgrade was to meet tasks at work"
    assert not runs.again()
    assert older.host.read("/etc/warren/warren.ini") == EDITED
    conffiles = older.host.sh(
        "dpkg-query --show --showformat='${Conffiles}' warren; ls -A /etc/warren | grep dpkg || "
        "true"
    )
    assert "warren.ini" not in conffiles
    assert older.host.show("warren", "ActiveState") == "active"
    assert older.pid("worker-main") != before


def test_what_is_printed_says_how_it_stands_and_what_is_next(present: Installed) -> None:
    """The installation prints that the suite runs, with STATUS, and what to type.

    Or it prints that the suite does not run.
    """
    suite = present
    said = suite.host.sh("dpkg --install /root/warren_*.deb 2>&1 </dev/null")
    assert "warren runs: ready: 1 worker" in said
    assert "next: warren status; your settings go into /etc/warren/conf.d" in said


def test_nobody_but_the_suite_enters_its_state(present: Installed) -> None:
    """A member of group warren reads the logs and nothing else.

    Checks of monitors run as warren and work.
    """
    suite = present
    suite.send(1, 1)
    suite.all_done(1, 1)
    modes = suite.host.sh("stat -c %a:%U:%G /var/lib/warren /run/warren /var/log/warren")
    assert modes.split() == ["700:warren:warren", "700:warren:warren", "750:warren:warren"]
    suite.host.sh("id anna 2>/dev/null || useradd --groups warren anna")
    assert suite.host.sh("stat -c %a /var/log/warren/*.log | sort -u").split() == ["640"]
    assert "task_succeeded" in suite.host.sh("runuser -u anna -- cat /var/log/warren/worker.log")
    for path in ("/var/lib/warren", "/run/warren", "/var/log/warren/worker-main.out"):
        assert (
            suite.host.run(
                "runuser", "-u", "anna", "--", "test", "-r", path, check=False
            ).returncode
            == 1
        )
    asked = suite.host.run("runuser", "-u", "anna", "--", "warren", "status", check=False)
    assert asked.returncode != 0
    assert "root" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert suite.host.run("runuser", "-u", "warren", "--", "warren", "health").returncode == 0
    suite.host.sh("logrotate --force /etc/logrotate.d/warren")
    assert set(suite.host.sh("stat -c %a:%G /var/log/warren/*.log.1").split()) == {"640:warren"}


def test_an_upgrade_that_cannot_start_the_suite_says_why(present: Installed) -> None:
    """dpkg ends well, and what is printed has the place of the mistake and the way on."""
    suite = present
    suite.configure(EDITED + "[log]\nlevel = loud\n")
    said = suite.host.sh("dpkg --install --force-confold /root/warren_*.deb 2>&1")
    assert "[log] level: expected " in said
    assert "warren check && warren start" in said
    suite.configure(EDITED)
    suite.host.run("warren", "start")


def test_remove_keeps_data_and_purge_takes_them(present: Installed) -> None:
    """`apt remove` ends the suite and keeps settings, state and logs.

    `apt purge` leaves nothing but the tasks' own code.

    A log directory that is a file system of its own cannot go: it is emptied, and the purge is
    whole. What is mounted inside the suite's directories is somebody else's, and keeps its files.
    """
    suite = present
    suite.send(1, 1)
    suite.all_done(1, 1)
    suite.host.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq remove warren")
    assert not suite.processes()
    assert suite.host.read("/etc/warren/warren.ini") == EDITED
    assert suite.host.read("/var/lib/warren/runs")
    assert suite.host.read("/var/log/warren/worker.log")
    assert suite.host.run("sh", "-c", "command -v warren", check=False).returncode != 0
    suite.host.sh("mount --bind /var/log/warren /var/log/warren")
    # Somebody's directory, of the same file system, where the suite's state is.
    suite.host.sh("mkdir -p /srv/theirs /var/lib/warren/a/theirs; echo kept >/srv/theirs/file")
    suite.host.sh("mount --bind /srv/theirs /var/lib/warren/a/theirs")
    suite.host.sh("DEBIAN_FRONTEND=noninteractive apt-get -qq purge warren")
    assert suite.host.sh("ls -A /var/log/warren; umount /var/log/warren") == ""
    assert suite.host.read("/srv/theirs/file") == "kept\n"
    left = suite.host.sh(
        "umount /var/lib/warren/a/theirs; cd /var/lib/warren; find . | sort; rm -r /var/lib/warren"
    )
    assert left.split() == [".", "./a", "./a/theirs"]
    gone = (
        "/etc/warren",
        "/var/lib/warren",
        "/etc/monit/conf.d/warren-page",
        "/usr/lib/warren",
        "/usr/bin/warren",
        "/etc/logrotate.d/warren",
    )
    assert [
        path for path in gone if suite.host.run("test", "-e", path, check=False).returncode == 0
    ] == []
