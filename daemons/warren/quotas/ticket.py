"""The ticket of one reserved slot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ticket:
    """Proof of one reservation: the number of the slot, and the serial of the reservation.

    No later reservation of the slot has this serial.
    """

    slot: int
    serial: int
