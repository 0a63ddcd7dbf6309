"""A RabbitMQ that takes no messages because it is low on something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from support.servers import RabbitMQNode
from support.wait import until

#: rabbitmqctl's word for the limit of each resource, a limit that no machine keeps, and one that it
#: does.
LIMITS = {
    "disk": ("set_disk_free_limit", "10000GB", "10MB"),
    "memory": ("set_vm_memory_high_watermark", "0.00001", "0.4"),
}


@contextmanager
def alarm(node: RabbitMQNode, kind: str = "disk") -> Iterator[None]:
    """The broker takes no messages while the block runs."""
    setting, low, well = LIMITS[kind]
    node.ctl(setting, low)
    try:
        until(lambda: _alarmed(node), what="the alarm")
        yield
    finally:
        node.ctl(setting, well)
        until(lambda: not _alarmed(node), what="the end of the alarm")


def _alarmed(node: RabbitMQNode) -> bool:
    return "resource_limit" in node.ctl("eval", "rabbit_alarm:get_alarms().")
