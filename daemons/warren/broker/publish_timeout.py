"""The error for a message that the broker does not take in time."""

from __future__ import annotations

from kombu.exceptions import OperationalError

from warren.errors import Unavailable


class NotTaken(OperationalError, Unavailable):
    """The broker did not take a message in time.

    sent: whether the broker may still take the message.
    """

    def __init__(self, waited: float, blocked: bool, sent: bool) -> None:
        found = (
            "the broker takes no messages: low on disk or memory (connection.blocked)"
            if blocked
            else "no confirmation"
        )
        known = (
            "the message was sent and may still be taken" if sent else "the message was not sent"
        )
        text = f"the broker did not take the message within {waited:g} s: {found}; {known}"
        super().__init__(f"{text}; free its disk")
        self.waited, self.blocked, self.sent = waited, blocked, sent

    def __reduce__(self) -> tuple[type[NotTaken], tuple[float, bool, bool]]:
        # From a pool child to its worker: a plain exception would be made again from its text
        # alone.
        return NotTaken, (self.waited, self.blocked, self.sent)
