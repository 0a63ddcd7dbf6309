"""The queues of the settings as Celery declares them; one that was added since is found when somebody sends to it by name."""

from __future__ import annotations

from amqp.exceptions import AccessRefused
from celery.app.amqp import AMQP
from celery.app.amqp import Queues as CeleryQueues
from kombu import Exchange, Queue

from warren.config import Settings, load
from warren.config.settings import DEFAULT_QUEUE
from warren.errors import ConfigError, Origin, Problem, Unavailable

#: One topic exchange for all tasks: native delayed delivery on RabbitMQ needs a topic, and a binding key may hold wildcards.
EXCHANGE = "warren"


def queue(settings: Settings, name: str, binding_key: str) -> Queue:
    """A queue of the type that these settings ask for."""
    arguments = {"x-queue-type": "quorum"} if are_quorum(settings) else None
    exchange = Exchange(EXCHANGE, type="topic", durable=True)
    return Queue(name, exchange, routing_key=binding_key, durable=True, queue_arguments=arguments)


def are_quorum(settings: Settings) -> bool:
    """Whether the queues are RabbitMQ's quorum queues."""
    return settings.broker.kind == "rabbitmq" and settings.broker.queue_type != "classic"


def refusal(settings: Settings, name: str, error: Exception) -> Unavailable:
    """What to tell when the broker does not let queue `name` be declared as the settings have it. Pure."""
    kind, other = ("quorum", "classic") if are_quorum(settings) else ("classic", "quorum")
    expected = f"the broker's queue {name} to be durable, of type {kind} and bound to the topic exchange {EXCHANGE}"
    if "'x-queue-type'" in str(error):
        section, option, remedy = "broker", "queue_type", f"set queue_type = {other}"
        remedy += ", which all queues of Warren have then, or give Warren a virtual host of its own, or delete that queue"
        if name == DEFAULT_QUEUE:
            remedy += ", or do without it: a queue with tasks = * takes its place"
    elif isinstance(error, AccessRefused):
        section, option, remedy = f"queue:{name}", "", "give the user of [broker] url the rights to configure, write and read it"
    else:
        section, option, remedy = f"queue:{name}", "", "give Warren a virtual host of its own, or delete what is in its way"
    places = ((section, option), (section, ""), ("broker", ""))
    place = next((found for found in (settings.origin(*each) for each in places) if found.file), Origin(settings.folder))
    return Unavailable(str(Problem(place, section, option, expected, str(error), remedy)))


def amqp(settings: Settings) -> type[AMQP]:
    """For `Celery(amqp=...)`: an added queue that changes no routing restarts no worker (config/concern.py), so that a task that
    names it must find it in a process that is older than the queue.
    """

    class Queues(CeleryQueues):
        def __missing__(self, name: str) -> Queue:
            try:
                added = load(settings.folder, settings.host).queues[name]
            except (ConfigError, KeyError):
                raise KeyError(name) from None
            return self.add(queue(settings, name, added.binding_key))

    return type("Amqp", (AMQP,), {"queues_cls": Queues})
