"""The check that the installed kombu is the release for which Warren's Redis transport is written.

Warren replaces kombu's BRPOP by its own request for a message, between kombu's poller and kombu's
consumers. None of these names is documented. With a kombu that has moved one of the names, a worker
would take no messages, or would take them as kombu does and lose them when it dies. So such a kombu
is refused, and the error names the release to install.
"""

from __future__ import annotations

from typing import Any

import kombu
from kombu.transport import redis

#: The release whose transport was read when Warren's transport was written.
KNOWN = (5, 7)
_REQUEST = (
    "_brpop_start",
    "_brpop_read",
    "_in_poll",
    "_brpop_sent_at",
    "_poll_error",
    "_flush_brpop_reauth",
)
_CHANNEL = (
    *_REQUEST,
    "_on_connection_disconnect",
    "_q_for_pri",
    "_get",
    "_put",
    "_update_queue_cycle",
)
_NEEDED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (redis.Channel, _CHANNEL),
    (
        redis.QoS,
        ("append", "restore_unacked", "restore_by_tag", "restore_visible", "_remove_from_indices"),
    ),
    (
        redis.MultiChannelPoller,
        ("on_poll_init", "on_poll_start", "_register_BRPOP", "maybe_restore_messages"),
    ),
)


def check() -> None:
    """Raise RuntimeError for any kombu but KNOWN."""
    missing = [
        f"{owner.__name__}.{name}"
        for owner, names in _NEEDED
        for name in names
        if not hasattr(owner, name)
    ]
    if tuple(kombu.VERSION[:2]) != KNOWN or missing:
        found = f"kombu {kombu.__version__}" + (f" without {', '.join(missing)}" if missing else "")
        known = ".".join(map(str, KNOWN))
        raise RuntimeError(
            f"expected kombu {known} for redis://, found {found}; install kombu {known}"
        )
