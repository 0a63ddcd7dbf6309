"""What `warren broker init` looks at: RabbitMQ's node, its users, a virtual host and its queues.

`read` asks rabbitmqctl, and changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from warren.broker.rabbitmq.rabbitmqctl import Rabbitmqctl
from warren.errors import WarrenError

#: The permissions of Warren's user: all rights on each name of its virtual host.
ALL = (".*", ".*", ".*")
#: The user of every fresh RabbitMQ, with a password that everybody knows.
GUEST = "guest"
#: Delayed tasks need this version, for quorum queues with a dead-letter exchange.
_OLDEST = (3, 10)
_CONFIG_FILE = "/etc/rabbitmq/rabbitmq.conf"


class Policy(NamedTuple):
    """A policy of the virtual host: its name, its pattern and what it sets."""

    name: str
    pattern: str
    definition: Mapping[str, Any]


@dataclass(frozen=True)
class NodeState:
    """What the node has answered.

    tags: the tags of each user. permissions: configure, write and read of the wanted user, by
    virtual host. queues: the type of each queue of the virtual host. consumer_timeout: seconds;
    None: no limit.
    """

    version: str
    ports: tuple[int, ...]
    config_file: str
    alarms: tuple[str, ...]
    disk_free_limit: int
    consumer_timeout: float | None
    vhosts: frozenset[str]
    tags: Mapping[str, tuple[str, ...]]
    permissions: Mapping[str, tuple[str, str, str]]
    queues: Mapping[str, str]
    policies: tuple[Policy, ...]
    guest_connections: int


def read(ctl: Rabbitmqctl, vhost: str, user: str) -> NodeState:
    """Return the state of the node. Raises WarrenError."""
    status = ctl.ask("status")
    vhosts = frozenset(str(each["name"]) for each in ctl.ask("list_vhosts"))
    tags = {str(each["user"]): _tags(each["tags"]) for each in ctl.ask("list_users")}
    policies: list[Policy] = []
    queues: dict[str, str] = {}
    if vhost in vhosts:
        queues = task_queues(
            ctl.ask("list_queues", "-p", vhost, "name", "type", "exclusive", "auto_delete")
        )
        for verb in ("list_policies", "list_operator_policies"):
            policies += map(_policy, ctl.ask(verb, "-p", vhost))
    granted = ctl.ask("list_user_permissions", user) if user in tags else []
    return NodeState(
        version=version(status),
        ports=amqp_ports(status),
        config_file=config_file(status),
        alarms=tuple(map(_alarm, status.get("alarms") or ())),
        disk_free_limit=int(status["disk_free_limit"]),
        consumer_timeout=consumer_timeout(
            ctl.tell("eval", "application:get_env(rabbit, consumer_timeout).")
        ),
        vhosts=vhosts,
        tags=tags,
        permissions={
            str(each["vhost"]): (each["configure"], each["write"], each["read"]) for each in granted
        },
        queues=queues,
        policies=tuple(policies),
        guest_connections=guest_connections(ctl) if GUEST in tags else 0,
    )


def guest_connections(ctl: Rabbitmqctl) -> int:
    """Return the number of connections that use the user guest now."""
    return [each["user"] for each in ctl.ask("list_connections", "user")].count(GUEST)


def version(status: Mapping[str, Any]) -> str:
    """Return the version of RabbitMQ. Raises WarrenError when it is too old."""
    found = str(status.get("rabbitmq_version", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if numbers < _OLDEST:
        raise WarrenError(
            f"expected RabbitMQ 3.10 or later, found {found or 'no version'}; upgrade "
            "rabbitmq-server"
        )
    return found


def amqp_ports(status: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the ports of AMQP without TLS."""
    listeners = status.get("listeners") or ()
    return tuple(int(each["port"]) for each in listeners if each["protocol"] == "amqp")


def config_file(status: Mapping[str, Any]) -> str:
    """Return the configuration file in which RabbitMQ's limits can be set."""
    files = [str(file) for file in status.get("config_files") or ()]
    return next((file for file in files if file.endswith("rabbitmq.conf")), _CONFIG_FILE)


def consumer_timeout(text: str) -> float | None:
    """Return the seconds of `{ok,MILLISECONDS}`; None for no limit."""
    found = re.search(r"\{ok,\s*(\d+)\}", text)
    return int(found[1]) / 1000 if found else None


def task_queues(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the name and the type of each queue that outlives its connection."""
    return {
        str(each["name"]): str(each["type"])
        for each in listed
        if each["exclusive"] is not True and each["auto_delete"] is not True
    }


def _policy(each: Mapping[str, Any]) -> Policy:
    definition = each["definition"]
    return Policy(
        str(each["name"]),
        str(each["pattern"]),
        json.loads(definition) if isinstance(definition, str) else definition,
    )


def _tags(tags: object) -> tuple[str, ...]:
    return tuple(map(str, tags)) if isinstance(tags, list) else ()


def _alarm(each: object) -> str:
    return str(each.get("resource", each)) if isinstance(each, Mapping) else str(each)
