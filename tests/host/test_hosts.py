"""The hosts themselves: what every other test of this directory stands on."""

from __future__ import annotations

from support.host import Network
from support.wait import until


def test_two_hosts_boot_reach_each_other_and_survive_a_power_cut(net: Network) -> None:
    """Each host has its own systemd as process 1, and its own files.

    The other host is on its network.
    """
    first, second = net.hosts("first", "second")
    assert first.run("hostname").stdout == "first\n"
    assert second.run("cat", "/proc/1/comm").stdout == "systemd\n"
    second.write("/srv/page", "from the second")
    second.run(
        "systemd-run", "--unit=page", "python3", "-m", "http.server", "--directory=/srv", "8000"
    )
    fetch = (
        "import urllib.request as u; print(u.urlopen('http://second:8000/page').read().decode())"
    )
    until(
        lambda: "from the second" in first.run("/usr/bin/python3", "-c", fetch, check=False).stdout,
        what="the second host's page",
    )
    first.write("/etc/kept", "still there")
    first.power_cut()
    first.boot()
    assert first.read("/etc/kept") == "still there"


def test_services_of_the_machine_start_on_a_host(net: Network) -> None:
    """RabbitMQ, Redis and Monit of Debian run under the host's systemd when a test asks."""
    (host,) = net.hosts("third")
    assert "third" in host.read("/etc/hosts")
    host.start("rabbitmq-server", "redis-server", "monit")
    host.run("rabbitmqctl", "await_startup")
    assert host.show("redis-server", "ActiveState") == "active"
    assert host.show("monit", "ActiveState") == "active"
