"""The queues of the settings as Celery declares them; one that was added since is found when somebody sends to it by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from amqp.exceptions import AccessRefused, PreconditionFailed
from celery.app.amqp import AMQP
from celery.app.amqp import Queues as CeleryQueues
from kombu import Exchange, Queue

from warren.broker.most_rejected import MOST, MOST_BYTES
from warren.broker.routing import Binding, route
from warren.broker.soon import set_due
from warren.broker.unroutable import NoRoute
from warren.config import Settings, load_again
from warren.config.settings import DEFAULT_QUEUE
from warren.errors import ConfigError, Origin, Problem, Unavailable

#: One topic exchange for all tasks: native delayed delivery on RabbitMQ needs a topic, and a binding key may hold wildcards.
EXCHANGE = "warren"


#: The queue of the messages that nobody can run; the embedded broker has a folder for them instead.
REJECTED = "warren.rejected"
#: How often a quorum queue may get a dead letter back: each look of a person may be a return, and RabbitMQ 4 drops what it got
#: back more than 20 times. -1 is no limit there, and on 3 a limit of none at all.
_RETURNS = 1_000_000
#: In a message's delivery_info: the queue that it was taken from. Its routing key does not tell: it may be the key of a delay,
#: several queues may be bound for it, and a message that was returned came by the queue's name.
SOURCE = "queue"
#: 28 bits of a delay in seconds, each a word of the key.
_DELAY = re.compile(r"^(?:[01]\.){28}")


class TaskQueue(Queue):
    """A queue that says of each message that it came from here."""

    def consume(self, consumer_tag: str = "", callback: Callable[[Any], Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """As kombu's."""

        def sourced(message: Any) -> Any:
            message.delivery_info[SOURCE] = self.name
            return callback(message) if callback else None

        return super().consume(consumer_tag, sourced, *args, **kwargs)


def queue(settings: Settings, name: str, binding_key: str) -> TaskQueue:
    """A queue of the type that these settings ask for."""
    return TaskQueue(name, exchange(), routing_key=binding_key, durable=True, queue_arguments=queue_arguments(settings))


def exchange() -> Exchange:
    """The exchange of all tasks."""
    return Exchange(EXCHANGE, type="topic", durable=True)


def queue_arguments(settings: Settings) -> dict[str, str] | None:
    """What the broker is asked for beside a durable queue."""
    return {"x-queue-type": "quorum"} if are_quorum(settings) else None


def declare_rejected(channel: Any, queue_type: str) -> None:
    """Sees that RabbitMQ has the queue of rejected messages. Raises AccessRefused.

    Whatever its type: it may be older than a change of [broker] queue_type. A refusal closes `channel`, py-amqp's.
    """
    try:
        arguments = {"x-queue-type": queue_type, "x-max-length": MOST, "x-max-length-bytes": MOST_BYTES}
        arguments |= {"x-delivery-limit": _RETURNS} if queue_type == "quorum" else {}  # a classic queue counts none
        channel.queue_declare(REJECTED, durable=True, auto_delete=False, arguments={**arguments, "x-overflow": "drop-head"})
    except PreconditionFailed:
        return  # there, of another type, without a bound, or with RabbitMQ's own limit


def beat_names(app: str) -> tuple[str, str]:
    """Return what holds the leadership of the beats and their last ticks: one of each for an app, however many hosts it has."""
    return f"{app}.beat.leader", f"{app}.beat.ticks"


def without_delay(routing_key: str) -> str:
    """Return the key as its sender chose it: delayed delivery puts the delay before it, bit by bit."""
    return _DELAY.sub("", routing_key)


def queues_of(settings: Settings, routing_key: str) -> list[str]:
    """Return the queues of these settings to which the key leads. Pure."""
    return route("topic", [Binding(each.binding_key, name) for name, each in settings.queues.items()], routing_key)


def addressed(settings: Settings, routing_key: str) -> dict[str, Any]:
    """The options of a task that is sent to a routing key which the call chose, whichever queue its task has.

    No queue is among them: of a task that is to run later Celery would take the queue's own key instead.
    """
    queues = [queue(settings, name, settings.queues[name].binding_key) for name in queues_of(settings, routing_key)]
    # Declared as they are for a task that chose nothing, so that the first one on a fresh broker is not lost.
    return {"exchange": EXCHANGE, "exchange_type": "topic", "routing_key": routing_key, "declare": queues or [exchange()]}


def are_quorum(settings: Settings) -> bool:
    """Whether the queues are RabbitMQ's quorum queues."""
    return settings.broker.kind == "rabbitmq" and settings.broker.queue_type != "classic"


def counts_returns(app: Any, name: str) -> bool:
    """Whether the queue counts how often a message came back, and drops it at last: a quorum queue."""
    return any(
        queue.name == name and (queue.queue_arguments or {}).get("x-queue-type") == "quorum" for queue in app.conf.task_queues
    )


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
                added = load_again(settings).queues[name]
            except (ConfigError, Unavailable, KeyError):
                raise KeyError(name) from None
            return self.add(queue(settings, name, added.binding_key))

    class Amqp(AMQP):
        queues_cls = Queues

        @cached_property
        def send_task_message(self) -> Callable[..., Any]:
            send = super().send_task_message

            def checked(producer: Any, name: str, message: Any, **options: Any) -> Any:
                set_due(message.headers)
                _check_delayed(settings, message, options.get("exchange"), options.get("routing_key"))
                return send(producer, name, message, **options)

            return checked

    return Amqp


def _check_delayed(settings: Settings, message: Any, exchange: Any, routing_key: Any) -> None:
    """Raise NoRoute for a task that is to run later and whose key is none of these settings.

    RabbitMQ finds out where it leads when the delay is over, and nobody hears of it then. A retry goes where its task came from.
    """
    delayed = str(getattr(exchange, "name", exchange)).startswith("celery_delayed_")
    if delayed and routing_key and not message.headers.get("retries"):
        key = without_delay(routing_key)
        if not queues_of(settings, key):
            raise NoRoute(EXCHANGE, key)
