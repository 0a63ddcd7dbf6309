"""docs/rabbitmq.md, typed on a fresh host.

It leads from Debian's RabbitMQ without a user to a task that ran.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.host import Network
from support.installed import HEAD, WORKER, Installed
from support.wait import until

ROOT = Path(__file__).parents[2]


def lines() -> list[str]:
    """Return the commands of the page's set-up, without the one that needs a mirror of Debian.

    The host has that package.
    """
    text = (ROOT / "docs" / "rabbitmq.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for line in block.splitlines() if not line.startswith("apt-get ")]


@pytest.mark.timeout(500)
def test_the_page_sets_a_broker_up(net: Network, package: Path) -> None:
    """Each line does what the page says, and a task runs.

    The secrets are the suite's alone, and guest is gone.
    """
    (host,) = net.hosts("server")
    suite = Installed(host, package, HEAD + WORKER, broker=False)
    suite.start()
    host.start("rabbitmq-server")
    host.sh("rabbitmqctl -q await_startup", within=120)
    for line in lines():
        host.sh(line, within=150)
    users = host.run("rabbitmqctl", "-q", "list_users").stdout
    assert "warren" in users
    assert "guest" not in users
    for name in ("broker-url", "broker-password"):
        assert host.run("stat", "-c", "%U %a", f"/etc/warren/secrets/{name}").stdout.split() == [
            "warren",
            "600",
        ]
    password = host.read("/etc/warren/secrets/broker-password").strip()
    assert len(password) >= 40
    assert password not in host.run("ps", "-eo", "args", "-ww").stdout
    until(
        lambda: "answers" in host.run("warren", "health", "broker", check=False).stdout,
        what="a broker that answers",
    )
    suite.send(1, 3)
    suite.all_done(1, 3)
    queues = host.run("rabbitmqctl", "-q", "list_queues", "-p", "warren", "name").stdout
    assert "default" in queues.split()
    assert host.run("rabbitmqctl", "-q", "list_queues", "-p", "/", "name").stdout.split() in (
        [],
        ["name"],
    )
    # A permission that is taken away is told with the command that gives it, and that command
    # helps.
    host.run("rabbitmqctl", "-q", "clear_permissions", "-p", "warren", "warren")
    refused = host.run("warren", "call", "jobs.run", "9", check=False)
    assert refused.returncode == 69
    (grant,) = re.findall(
        r"rabbitmqctl set_permissions -p warren warren '[^']*' '[^']*' '[^']*'", refused.stderr
    )
    host.sh(grant)
    suite.send(4, 4)
    suite.all_done(4, 4)
