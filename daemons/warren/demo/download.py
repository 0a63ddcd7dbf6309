"""Safe downloads of any URL: the author of the URL reaches nothing that only this host can reach.

A worker runs inside a network. It can reach services without a password, on its own loopback and in
its network, and in a cloud the address that returns the machine's keys. So the check is made on the
address of each connection, after the look-up of its name and after each redirect.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

LARGEST = 2**30  # bytes
LONGEST = 600.0  # seconds for the whole download
_REDIRECTS = 5
_TIMEOUT = (5, 30)  # seconds: to connect, and between two bytes of the answer
_NAT64 = IPv6Network("64:ff9b::/96")


class Refused(ValueError):
    """A download that is refused, or is stopped before its end. A retry would not help."""


def is_public(address: str) -> bool:
    """Return whether the address is a public address of the internet.

    Loopback, private and local networks and multicast are not public, also when an IPv6 address
    contains such an IPv4 address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


@contextmanager
def answer(
    url: str, named: Collection[tuple[str, int]], longest: float = LONGEST
) -> Iterator[Iterator[bytes]]:
    """Return a context with the chunks of bytes that the server of the http or https `url` sends.

    named: hosts or addresses, with ports, that may be reached although they are not public. Raises
    Refused for any other address, an answer of more than 1 GiB, more than five redirects or more
    than `longest` seconds in all. Raises requests.RequestException for a broken connection and for
    a refusal by the server.
    """
    end = _End()
    timer = threading.Timer(longest, end.come)
    timer.daemon = True
    timer.start()
    try:
        with (
            _session(named, end) as session,
            session.get(url, stream=True, timeout=_TIMEOUT) as response,
        ):
            response.raise_for_status()
            yield _bounded(response.iter_content(2**16), end, longest)
    except requests.TooManyRedirects:
        raise Refused(f"download: expected at most {_REDIRECTS} redirects, found more") from None
    except (
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.InvalidURL,
    ):
        raise Refused(
            "download: expected a URL that begins with http:// or https://, found another"
        ) from None
    except (requests.RequestException, OSError):
        if end.came:
            raise _endless(longest) from None
        raise
    finally:
        timer.cancel()
        end.close()


class _End:
    """The switch that ends the connections of one download.

    It works wherever the download waits: in a handshake, in the head of an answer or in its body.
    """

    def __init__(self) -> None:
        self.came = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def add(self, made: socket.socket) -> None:
        with self._lock:
            # urllib3 may close its own socket, and another file may then get that number.
            self._sockets.append(made.dup())
        if self.came:
            self.come()

    def come(self) -> None:
        with self._lock:
            self.came = True
            for each in self._sockets:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:  # the connection has already ended
                    continue

    def close(self) -> None:
        with self._lock:
            for each in self._sockets:
                each.close()
            self._sockets.clear()


def _session(named: Collection[tuple[str, int]], end: _End) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # use no proxy and no password from this host's environment
    session.max_redirects = _REDIRECTS
    session.mount("http://", _Adapter(named, end))
    session.mount("https://", _Adapter(named, end))
    return session


class _Adapter(HTTPAdapter):
    """An adapter that connects only to addresses that may be reached."""

    def __init__(self, named: Collection[tuple[str, int]], end: _End) -> None:
        self._connect = partial(_connect, named=named, end=end)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        connect = self._connect

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self.host, self.port or 80)

        class Encrypted(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return connect(self.host, self.port or 443)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class EncryptedPool(HTTPSConnectionPool):
            ConnectionCls = Encrypted

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}


def _connect(host: str, port: int, named: Collection[tuple[str, int]], end: _End) -> socket.socket:
    """Return a connection to the host.

    The name is looked up only once, here, because a second look-up might have another answer.
    """
    host = host.strip("[]")
    failed: OSError = OSError(f"no address of {host}")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        if not (is_public(str(address[0])) or {(host, port), (str(address[0]), port)} & set(named)):
            raise Refused(f"download: expected a public address, found {address[0]} for {host}")
        made = socket.socket(family, kind, protocol)
        end.add(made)
        made.settimeout(_TIMEOUT[0])
        try:
            made.connect(address)
        except OSError as error:
            made.close()
            failed = error
        else:
            return made
    raise failed


def _bounded(chunks: Iterator[bytes], end: _End, longest: float) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST:
            raise Refused(f"download: expected at most {LARGEST} bytes, found more")
        yield chunk
    if end.came:  # otherwise an answer without a stated length would seem complete
        raise _endless(longest)


def _endless(longest: float) -> Refused:
    return Refused(f"download: expected an end within {longest:g} s, found none")
