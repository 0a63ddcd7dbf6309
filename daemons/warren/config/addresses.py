"""Parser of the address at which a daemon listens. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from warren.config.units import Unexpected, shown

_FORM = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Address:
    """An IP address and a port, 1 to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def loopback(text: str) -> Address:
    """Return the address of a text such as 127.0.0.1:8780 or [::1]:8780. Raises Unexpected.

    Other hosts cannot reach it: tokens would cross the network in plain text.
    """
    expected = "a loopback address with a port such as 127.0.0.1:8780 or [::1]:8780"
    found = _FORM.fullmatch(text)
    try:
        host = ip_address((found[1] or found[2]) if found else "")
    except ValueError:
        raise Unexpected(expected, shown(text)) from None
    port = int(found[3]) if found else 0
    if not host.is_loopback or not 1 <= port <= 65535:
        raise Unexpected(expected, shown(text))
    return Address(str(host), port)
