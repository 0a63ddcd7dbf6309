"""docs/rabbitmq.md, typed on a fresh host.

It leads from Debian's RabbitMQ without a user to a task that ran.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.host import Network
from support.installed import HEAD, WORKER, Installed
from support.wait import until

ROOT = Path(__file__).parents[2]


def blocks() -> list[list[str]]:
    """Return the commands of the page's set-up, by the command and by hand.

    Without the one that needs a mirror of Debian: the host has that package.
    """
    text = (ROOT / "docs" / "rabbitmq.md").read_text(encoding="utf-8")
    return [
        [line for line in block.splitlines() if not line.startswith("apt-get ")]
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    ]


def test_the_page_has_both_ways() -> None:
    """The test would notice if it typed something else."""
    by_command, by_hand = blocks()
    assert by_command == ["warren broker init", "warren reload"]
    assert "rabbitmqctl -q add_vhost warren" in by_hand


@pytest.mark.timeout(700)
@pytest.mark.parametrize("way", [0, 1], ids=["by-command", "by-hand"])
def test_the_page_sets_a_broker_up(net: Network, package: Path, way: int) -> None:
    """Each line does what the page says, and a task runs.

    The secrets are the suite's alone, and guest is gone.
    """
    (host,) = net.hosts(f"server-{way}")
    suite = Installed(host, package, HEAD + WORKER, broker=False)
    suite.start()
    host.start("rabbitmq-server")
    host.sh("rabbitmqctl -q await_startup", within=120)
    for line in blocks()[way]:
        host.sh(line, within=150)
    users = host.run("rabbitmqctl", "-q", "list_users").stdout
    assert "warren" in users
    assert "guest" not in users
    url = "/etc/warren/secrets/broker-url"
    for path in (url, *([] if way == 0 else ["/etc/warren/secrets/broker-password"])):
        assert host.run("stat", "-c", "%U %a", path).stdout.split() == ["warren", "600"]
    assert host.run("stat", "-c", "%U %a", "/etc/warren/secrets").stdout.split() == [
        "warren",
        "700",
    ]
    password = urlsplit(host.read(url).strip()).password or ""
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
    # Both ways make the same: the command has nothing to do.
    again = json.loads(host.run("warren", "broker", "init", "--json").stdout)
    assert {step["outcome"] for step in again["steps"]} == {"unchanged"}, again
    assert "disk_free_limit.absolute = 1GB" in " ".join(again["warnings"])
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
