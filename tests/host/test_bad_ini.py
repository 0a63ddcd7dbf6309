"""A wrong configuration is told where the operator looks, and disturbs nothing that runs."""

from __future__ import annotations

from support.installed import RABBITMQ, WORKER, Installed
from support.wait import until

GOOD = RABBITMQ + WORKER
BAD = RABBITMQ + "[worker:main]\nconcurency = 2\n"
#: Where, what was expected, what was found.
TOLD = ("/etc/warren/warren.ini:7", "concurency", "concurrency")


def test_a_reload_with_a_bad_file_changes_nothing(suite: Installed) -> None:
    """`systemctl reload` fails, says where, and every process continues."""
    suite.configure(GOOD)
    suite.start()
    suite.reload()
    before, main = suite.pid("worker-main"), suite.supervisord()
    suite.configure(BAD)
    assert suite.host.run("systemctl", "reload", "warren", check=False).returncode != 0
    shown = suite.host.run(
        "systemctl", "status", "--full", "--no-pager", "--lines=10", "warren", check=False
    ).stdout
    for word in TOLD:
        assert word in shown, shown
        until(lambda word=word: word in suite.host.journal("warren"), what=f"{word} in the journal")  # type: ignore[misc]
    assert (suite.pid("worker-main"), suite.supervisord()) == (before, main)
    assert suite.host.show("warren", "ActiveState") == "active"


def test_a_restart_to_what_the_suite_could_not_start_with(suite: Installed) -> None:
    """`warren restart`, asked by root, checks as the suite's user.

    A file that only root may read leaves all as it is.
    """
    suite.configure(GOOD)
    suite.start()
    before, main = suite.pid("worker-main"), suite.supervisord()
    suite.host.write("/etc/warren/conf.d/own.ini", "", 0o600)
    try:
        done = suite.host.run("warren", "restart", check=False)
    finally:
        suite.host.path("/etc/warren/conf.d/own.ini").unlink()
    assert done.returncode == 78
    assert (
        "/etc/warren/conf.d/own.ini: expected a file that can be read, found Permission denied"
        in done.stderr
    )
    assert (suite.pid("worker-main"), suite.supervisord()) == (before, main)


def test_a_start_with_a_bad_file(suite: Installed) -> None:
    """`systemctl start` fails once and is not tried again.

    `systemctl status` shows the located message.
    """
    suite.stop()
    suite.configure(BAD)
    assert suite.host.run("systemctl", "start", "warren", check=False).returncode != 0
    shown = suite.host.run(
        "systemctl", "status", "--full", "--no-pager", "--lines=10", "warren", check=False
    ).stdout
    for word in TOLD:
        assert word in shown, shown
    assert suite.host.show("warren", "ActiveState") == "failed"
    assert suite.host.show("warren", "NRestarts") == "0"
    assert suite.host.show("warren", "ExecMainStatus") == "78"
    suite.configure(GOOD)
    suite.start()
    assert suite.pid("worker-main")
