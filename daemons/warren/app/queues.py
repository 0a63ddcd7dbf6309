"""The queues of the settings, as Celery declares them.

A queue that was added after the process started is found when a task is sent to it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from amqp.exceptions import AccessRefused, PreconditionFailed
from celery.app.amqp import AMQP
from celery.app.amqp import Queues as CeleryQueues
from kombu import Exchange, Queue

from warren.broker.embedded.routing import Binding, route
from warren.broker.queue_names import EXCHANGE, REJECTED, SOURCE, are_quorum, without_delay
from warren.broker.rabbitmq.short_countdown import set_due
from warren.broker.rejection_limits import MOST, MOST_BYTES
from warren.broker.unroutable import NoRoute
from warren.config import Settings, load_again
from warren.config.queue_of_task import DEFAULT_QUEUE
from warren.errors import ConfigError, Origin, Problem, Unavailable

#: The most times that a quorum queue may get a dead letter back. Each look of an operator may be
#: such a return, and RabbitMQ 4 drops a message that came back more than 20 times. For RabbitMQ 4,
#: -1 is no limit; RabbitMQ 3 would allow no return at all.
_RETURNS = 1_000_000


class TaskQueue(Queue):
    """A queue that notes its own name in each message that is taken from it."""

    def consume(
        self,
        consumer_tag: str = "",
        callback: Callable[[Any], Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Consume as kombu does, and note this queue in each message."""

        def sourced(message: Any) -> Any:
            message.delivery_info[SOURCE] = self.name
            return callback(message) if callback else None

        return super().consume(consumer_tag, sourced, *args, **kwargs)


def queue(settings: Settings, name: str, binding_key: str) -> TaskQueue:
    """Return a queue of the type that these settings name."""
    return TaskQueue(
        name,
        exchange(),
        routing_key=binding_key,
        durable=True,
        queue_arguments=queue_arguments(settings),
    )


def exchange() -> Exchange:
    """Return the exchange of all tasks."""
    return Exchange(EXCHANGE, type="topic", durable=True)


def queue_arguments(settings: Settings) -> dict[str, str] | None:
    """Return the arguments by which the broker makes a durable queue; None: no arguments."""
    return {"x-queue-type": "quorum"} if are_quorum(settings) else None


def declare_rejected(channel: Any, queue_type: str) -> None:
    """Declare RabbitMQ's queue of rejected messages. Raises AccessRefused.

    An existing queue may have another type, from before a change of [broker] queue_type. A refusal
    closes `channel`, which is py-amqp's.
    """
    try:
        arguments = {
            "x-queue-type": queue_type,
            "x-max-length": MOST,
            "x-max-length-bytes": MOST_BYTES,
        }
        # A classic queue does not count returns.
        arguments |= {"x-delivery-limit": _RETURNS} if queue_type == "quorum" else {}
        channel.queue_declare(
            REJECTED,
            durable=True,
            auto_delete=False,
            arguments={**arguments, "x-overflow": "drop-head"},
        )
    except PreconditionFailed:
        return  # the queue exists, with another type, without a bound, or with RabbitMQ's own limit


def queues_of(settings: Settings, routing_key: str) -> list[str]:
    """Return the queues of these settings to which the key leads. Pure."""
    return route(
        "topic",
        [Binding(each.binding_key, name) for name, each in settings.queues.items()],
        routing_key,
    )


def addressed(settings: Settings, routing_key: str) -> dict[str, Any]:
    """Return the options of a task that is sent to a routing key of the caller's choice.

    The options name no queue: for a task that runs later, Celery would replace the routing key by
    the queue's own key.
    """
    queues = [
        queue(settings, name, settings.queues[name].binding_key)
        for name in queues_of(settings, routing_key)
    ]
    # The queues are declared as for a task without options, so that the first task on a new broker
    # is not lost.
    return {
        "exchange": EXCHANGE,
        "exchange_type": "topic",
        "routing_key": routing_key,
        "declare": queues or [exchange()],
    }


def counts_returns(app: Any, name: str) -> bool:
    """Return whether the queue counts how often a message came back.

    A quorum queue counts the returns, and drops the message after too many of them.
    """
    return any(
        queue.name == name and (queue.queue_arguments or {}).get("x-queue-type") == "quorum"
        for queue in app.conf.task_queues
    )


def refusal(settings: Settings, name: str, error: Exception) -> Unavailable:
    """Return the error for a queue `name` that the broker does not let Warren declare. Pure."""
    kind, other = ("quorum", "classic") if are_quorum(settings) else ("classic", "quorum")
    bound = f"bound to the topic exchange {EXCHANGE}"
    expected = f"the broker's queue {name} to be durable, of type {kind} and {bound}"
    if "'x-queue-type'" in str(error):
        section, option, remedy = "broker", "queue_type", f"set queue_type = {other}"
        remedy += " for all queues of Warren"
        remedy += f", or give Warren a virtual host of its own, or delete queue {name}"
        if name == DEFAULT_QUEUE:
            remedy += f", or replace queue {name} by a queue with tasks = *"
    elif isinstance(error, AccessRefused):
        section, option, remedy = (
            f"queue:{name}",
            "",
            f"give the user of [broker] url the rights to configure, write and read queue {name}",
        )
    else:
        section, option, remedy = (
            f"queue:{name}",
            "",
            f"give Warren a virtual host of its own, or delete queue {name} or the exchange that "
            "is in the way",
        )
    origins = ((section, option), (section, ""), ("broker", ""))
    origin = next(
        (found for found in (settings.origin(*each) for each in origins) if found.file),
        Origin(settings.directory),
    )
    return Unavailable(str(Problem(origin, section, option, expected, str(error), remedy)))


def amqp(settings: Settings) -> type[AMQP]:
    """Return the class for `Celery(amqp=...)`, which finds a queue that is newer than its process.

    When an added queue changes no routing, no worker restarts (config/affected_daemons.py). So a
    process that is older than the queue must find the queue when a task names it.
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
                _check_delayed(
                    settings, message, options.get("exchange"), options.get("routing_key")
                )
                return send(producer, name, message, **options)

            return checked

    return Amqp


def _check_delayed(settings: Settings, message: Any, exchange: Any, routing_key: Any) -> None:
    """Raise NoRoute for a task that runs later if its key leads to no queue of these settings.

    RabbitMQ finds out where the key leads only after the delay, and then reports to no client. A
    retry goes to the queue that its task came from.
    """
    delayed = str(getattr(exchange, "name", exchange)).startswith("celery_delayed_")
    if delayed and routing_key and not message.headers.get("retries"):
        key = without_delay(routing_key)
        if not queues_of(settings, key):
            raise NoRoute(EXCHANGE, key)
