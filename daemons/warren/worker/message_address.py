"""Where a message came from, and the address that it was sent to.

A copy of a message goes back to the queue by the queue's name, so that no other queue gets the
copy. The sender's exchange and routing key are in a header of the copy meanwhile: a task that is
tried again is sent to the same address again.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.native_delayed_delivery import CELERY_DELAYED_DELIVERY_EXCHANGE

from warren.broker.queue_names import EXCHANGE, SOURCE, without_delay

#: The header of a copy that holds exchange and routing key of the first message.
ADDRESS = "warren_address"


def source(message: Any) -> str:
    """Return the queue that a consumer took the message from; empty when that is not known."""
    found = (message.delivery_info or {}).get(SOURCE)
    return found if isinstance(found, str) else ""


def address_of(message: Any) -> dict[str, Any]:
    """Return the header with which a copy keeps the message's address.

    It is empty for a message that was sent to a queue by the queue's name.
    """
    info = message.delivery_info or {}
    return (
        {ADDRESS: [info["exchange"], info["routing_key"]]}
        if info.get("exchange") and info.get("routing_key")
        else {}
    )


def restore_address(message: Any) -> None:
    """Write the address that the message was sent to into its delivery_info.

    Celery looks for it there.
    """
    info, headers = message.delivery_info, message.headers
    if not isinstance(info, dict):
        return
    kept = headers.get(ADDRESS) if isinstance(headers, dict) else None
    if (
        info.get("exchange") == ""
        and isinstance(kept, list)
        and len(kept) == 2
        and all(isinstance(each, str) for each in kept)
    ):
        info["exchange"], info["routing_key"] = kept
    if info.get("exchange") == CELERY_DELAYED_DELIVERY_EXCHANGE:
        info["exchange"], info["routing_key"] = (
            EXCHANGE,
            without_delay(str(info.get("routing_key"))),
        )
