"""What `warren broker init` says of a RabbitMQ, from what the node said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from warren.broker.rabbitmq import node_advice
from warren.broker.rabbitmq.node_state import ALL, NodeState, Policy
from warren.config import Settings

Loaded = Callable[..., Settings]

GOOD = NodeState(
    version="4.0.5",
    ports=(5672,),
    config_file="/etc/rabbitmq/rabbitmq.conf",
    alarms=(),
    disk_free_limit=10**9,
    consumer_timeout=1800.0,
    vhosts=frozenset({"warren", "/"}),
    tags={"warren": ()},
    permissions={"warren": ALL},
    queues={
        "default": "quorum",
        "celery_delayed_3": "quorum",
        "warren.rejected": "quorum",
        "shop.beat.leader": "quorum",
    },
    policies=(),
    guest_connections=0,
)
INI = "[app]\nname = shop\n[worker:main]\ntime_limit = 10m\n"


def warned(state: NodeState, settings: Settings) -> list[str]:
    return node_advice.warnings(state, "warren", "warren", settings)


def test_a_good_node(loaded: Loaded) -> None:
    """Nothing is said of it."""
    settings = loaded(INI)
    assert warned(GOOD, settings) == []
    assert node_advice.refusal(GOOD, "warren", settings) == ""
    assert node_advice.granted(GOOD, "warren")
    assert not node_advice.granted(GOOD, "/")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"alarms": ("disk",)}, "RabbitMQ has an alarm (disk)"),
        ({"disk_free_limit": 50_000_000}, "disk_free_limit.absolute = 1GB"),
        ({"consumer_timeout": 300.0}, "consumer_timeout = 720000,"),
        (
            {"policies": (Policy("p", "^def", {"delivery-limit": 2}),)},
            "policy p (^def) sets delivery-limit 2",
        ),
        (
            {"policies": (Policy("p", "", {"message-ttl": 9, "max-length": 9}),)},
            "sets message-ttl, max-length: RabbitMQ drops",
        ),
        ({"policies": (Policy("p", "(*UCP)", {"expires": 9}),)}, "sets expires"),
        ({"tags": {"warren": ("administrator",)}}, "rabbitmqctl set_user_tags warren"),
        (
            {"permissions": {"warren": ALL, "pay": ALL}},
            "rabbitmqctl clear_permissions -p pay warren",
        ),
        ({"queues": {"pay.orders": "classic"}}, "these settings do not name: pay.orders;"),
    ],
)
def test_what_is_wrong(loaded: Loaded, change: dict[str, object], told: str) -> None:
    """Each is one warning with its remedy."""
    (warning,) = warned(replace(GOOD, **change), loaded(INI))  # type: ignore[arg-type]
    assert told in warning


@pytest.mark.parametrize(
    "policy",
    [
        Policy("p", "^other", {"message-ttl": 9}),
        Policy("p", "", {"delivery-limit": 5}),
        Policy("p", "", {"delivery-limit": -1}),
        Policy("p", "", {"max-length": 9, "overflow": "reject-publish"}),
        Policy("p", r"^warren\.rejected", {"max-length": 9}),
    ],
)
def test_policies_that_lose_nothing(loaded: Loaded, policy: Policy) -> None:
    """They are not Warren's business."""
    assert warned(replace(GOOD, policies=(policy,)), loaded(INI)) == []


def test_tasks_without_a_time_limit(loaded: Loaded) -> None:
    """They may take longer than any consumer_timeout, unless there is none."""
    settings = loaded("[worker:main]\n[app]\nname = shop\n")
    assert "consumer_timeout = 86400000 (a day)" in warned(GOOD, settings)[0]
    assert warned(replace(GOOD, consumer_timeout=None), settings) == []


def test_queues_of_the_other_type(loaded: Loaded) -> None:
    """The suite could not declare them: nothing is begun."""
    classic = replace(GOOD, queues={"default": "classic"})
    said = node_advice.refusal(classic, "warren", loaded(INI))
    assert "expected queues of type quorum" in said
    assert "set queue_type = classic" in said
    assert not node_advice.refusal(
        classic, "warren", loaded(INI + "[broker]\nqueue_type = classic\n")
    )
