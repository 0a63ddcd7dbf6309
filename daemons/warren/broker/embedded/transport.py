"""The embedded broker: a kombu transport whose queues are directories. It needs no server.

Celery settings:

broker_url = "warren://" broker_transport = "warren.broker.embedded.transport:Transport"
broker_transport_options = {"directory": "/var/lib/warren/broker", "polling_interval": 0.05}

The option `"exchanges"` may list exchanges, each as `[name, type, [[binding key, queue], ...]]`.
When the table of such an exchange is damaged, the exchange is declared again.

For Celery this transport behaves as RabbitMQ does: direct, topic and fanout exchanges between
processes, acknowledgements, prefetch, remote control, and the worker's event loop with a prefork
pool. Delivery is at least once: after a power cut, a message that was acknowledged just before may
come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.exceptions import ConnectionError as BrokerConnectionError
from kombu.transport import virtual

from warren.broker.embedded.channel import Channel
from warren.broker.embedded.delayed_messages import LOOK
from warren.broker.embedded.exchanges import Table
from warren.broker.embedded.messages import messages_in
from warren.broker.embedded.recovery import restore_dead
from warren.broker.embedded.routing import Binding
from warren.broker.embedded.topology import Topology
from warren.logs.events import Event
from warren.logs.setup import logger

#: The most messages that the worker gets in one tick of its main loop. Results and the heartbeat
#: must not have to wait.
BATCH = 100
#: Seconds between two looks of a consumer for messages of dead processes.
RESTORE_EVERY = 5.0


class Transport(virtual.Transport):
    """A connection to the embedded broker.

    An OSError (a full disk, a directory that cannot be written) is an error of the connection.
    Publishers try again and then report it. Workers connect again until the disk or directory is
    repaired.
    """

    Channel = Channel
    can_parse_url = True  # lets logs show the connection as warren:///DIRECTORY
    driver_type = driver_name = "warren"
    polling_interval = 0.05
    connection_errors = (BrokerConnectionError, OSError)
    channel_errors = (ChannelError,)
    recoverable_connection_errors = connection_errors
    recoverable_channel_errors = ()
    implements = virtual.Transport.implements.extend(
        asynchronous=True, exchange_type=frozenset(["direct", "topic", "fanout"])
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.directory = Path(client.transport_options["directory"])
        self.messages = messages_in(self.directory)
        meant = client.transport_options.get("exchanges", ())
        self.topology = Topology(
            self.directory,
            [
                Table(name, kind, tuple(Binding(*each) for each in bindings))
                for name, kind, bindings in meant
            ],
        )
        self._loop: Any = None
        self._timer: Any = None
        self._due = False
        self._back_until = 0.0
        self._looked_at = 0.0
        # A process that only asks or sends has ended before its first look is due.
        self._restored_at = time.monotonic()

    def driver_version(self) -> str:
        """Return that the transport has no version of its own."""
        return "N/A"

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return warren:///DIRECTORY."""
        return f"warren://{self.directory}"

    def establish_connection(self) -> Transport:
        """Make the directories, and requeue what this process could not requeue before.

        Messages of dead processes stay where they are: a command connects, too, and a command that
        only looks must move nothing. Processes that stay requeue them: a worker, the
        quota-watchdog, a consumer that waits. Raises OSError.
        """
        try:
            self.messages.open()
            self.topology.open()
            self._restore(self.messages.retry_stranded)
        except OSError as error:
            text = f"{error.strerror}: the embedded broker cannot use its directory"
            raise OSError(error.errno, text, str(self.directory)) from error
        super().establish_connection()
        return self

    def close_connection(self, connection: Any) -> None:
        """Requeue the messages that are not settled. From now on the main loop does not poll."""
        self._leave_loop()
        super().close_connection(connection)

    # -- a consumer that waits ---------------------------------------------------------------------

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Wait for one message. Raises TimeoutError after `timeout` seconds; None: no limit."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = (
                self.polling_interval
                if deadline is None
                else min(self.polling_interval, deadline - time.monotonic())
            )
            self._restore_now_and_then()
            self._bring_now_and_then()
            try:
                self.cycle.get(self._deliver)
                return
            except Empty:
                if left <= 0:
                    raise TimeoutError from None
                time.sleep(left)

    # -- a consumer with a main loop ---------------------------------------------------------------

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let `loop` take messages.

        The loop looks for messages every `polling_interval` seconds, and after each
        acknowledgement.
        """
        self._leave_loop()
        self._loop = loop
        self._timer = loop.call_repeatedly(self.polling_interval, self._fall_due)
        self._due = True
        # A worker that replaces a dead worker requeues the dead worker's messages at once.
        self._restored_at = -RESTORE_EVERY
        loop.on_tick.add(self._tick)

    def room_made(self) -> None:
        """Note that a message was acknowledged.

        The next tick of the main loop takes another message.
        """
        self._due = True

    def stand_back(self) -> None:
        """Take no messages until the other workers have looked twice.

        So messages that are requeued now go to another worker first.
        """
        self._back_until = time.monotonic() + 2 * self.polling_interval

    def _fall_due(self) -> None:
        self._due = True

    def _leave_loop(self) -> None:
        if self._loop is not None:
            self._timer.cancel()
            self._loop.on_tick.discard(self._tick)
            self._loop = None

    def _tick(self) -> None:
        if not self._due or time.monotonic() < self._back_until:
            return
        self._due = False
        self._restore_now_and_then()
        self._bring_now_and_then()
        with suppress(Empty):
            for _ in range(BATCH):
                self.cycle.get(self._deliver)
            self._due = True  # more messages may be there

    # -- messages of dead processes ----------------------------------------------------------------

    def _bring_now_and_then(self) -> None:
        if time.monotonic() - self._looked_at < LOOK:
            return
        self._looked_at = time.monotonic()
        try:
            for channel in self.channels:
                channel.bring()
        except OSError as error:
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self.directory),
                reason=str(error),
                consequence="tasks that are due wait",
            )

    def _restore_now_and_then(self) -> None:
        if time.monotonic() - self._restored_at > RESTORE_EVERY:
            self._restored_at = time.monotonic()
            self._restore(lambda: self.messages.retry_stranded() + restore_dead(self.directory))

    def _restore(self, restore: Callable[[], int]) -> None:
        try:
            restored = restore()
        except OSError as error:
            # The next attempt comes soon. A full disk that prevents this cleaning up must not stop
            # the work.
            logger().error(
                Event.CANNOT_WRITE,
                path=str(self.directory),
                reason=str(error),
                consequence="messages of dead processes wait",
            )
            return
        if restored:
            logger().warning(Event.MESSAGES_RESTORED, messages=restored)
