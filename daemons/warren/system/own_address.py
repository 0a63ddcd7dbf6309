"""Whether a name or an address is one of this host's own."""

from __future__ import annotations

import socket


def is_own(host: str) -> bool:
    """Return whether this host has the address of the name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind((address[0], 0, *address[2:]))
                return True
        except OSError:  # no address of this host
            continue
    return False
