"""The check that the channels of all three brokers make before they send a message.

Workers would reject a message that is too large.
"""

from __future__ import annotations

from typing import Any

from warren.broker.decompression import check_size


class SizeChecked:
    """A channel that checks the size of each message when the message is prepared."""

    #: The most bytes of a body; None: no limit. Each channel has this as an attribute or a
    #: property.
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
        """Prepare as kombu does. Raises TooLarge."""
        check_size(body, headers, self.largest_message)
        make = super().prepare_message  # type: ignore[misc]
        return make(body, priority, content_type, content_encoding, headers, *rest, **more)
