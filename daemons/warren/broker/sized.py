"""What the channels of all three brokers do before they send: no message that workers would reject as too large."""

from __future__ import annotations

from typing import Any

from warren.broker.unpack import check_size


class Sized:
    """A channel whose messages are bounded as they are made."""

    #: Bytes that a body may have; None without an end. A channel has it as an attribute or a property of its own.
    largest_message: Any

    def prepare_message(
        self,
        body: Any,
        priority: Any = None,
        content_type: Any = None,
        content_encoding: Any = None,
        headers: Any = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        """As kombu's. Raises TooLarge."""
        check_size(body, headers, self.largest_message)
        make = super().prepare_message  # type: ignore[misc]
        return make(body, priority, content_type, content_encoding, headers, *rest, **more)
