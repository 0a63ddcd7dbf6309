"""URLs of brokers and result stores.

No message quotes a URL, because the URL may hold a password: in a mistyped URL, in any part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from warren.config.units import Unexpected

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_HOST = re.compile(r"[\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_DATABASE = re.compile(r"/?|/[0-9]{1,9}", re.ASCII)
_CERT_REQS = ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE")

_ENCODED = "is the password percent-encoded?"

Check = Callable[[str], object]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


_TLS: Mapping[str, Check] = {
    "ssl_cert_reqs": _CERT_REQS.__contains__,
    "ssl_check_hostname": ("true", "false").__contains__,
    **dict.fromkeys(("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"), bool),
}
_AMQP: Mapping[str, Check] = {
    "heartbeat": _is_number,
    "connect_timeout": _is_number,
    "login_method": str.isupper,
}
#: For each scheme, the options that may follow '?', each with a check of its value. Any other
#: option breaks the connection.
_OPTIONS: Mapping[str, Mapping[str, Check]] = {
    "amqp": _AMQP,
    "amqps": {**_AMQP, **_TLS},
    "rediss": _TLS,
}


def url(text: str, schemes: tuple[str, ...], several: bool = True) -> SecretStr:
    """Return one URL as a secret. Raises Unexpected.

    Where `several` is true, the text may hold more than one URL of the same kind, separated by ';',
    which are tried in turn.
    """
    expected = f"a URL that begins with {', '.join(f'{scheme}://' for scheme in schemes)}"
    if not several and ";" in text:
        raise Unexpected(f"{expected}, and one alone", "a ';' in it")
    kinds = set()
    for each in text.split(";"):
        found = _SCHEME.match(each)
        if not found or found[1].lower() not in schemes:
            raise Unexpected(
                expected, f"one that begins with {found[0]}" if found else "a text that is no URL"
            )
        if any(character.isspace() for character in each):
            raise Unexpected(expected, "a URL with white space in it")
        scheme = found[1].lower()
        kinds.add(scheme[:4])
        if scheme != "file":
            _check(each, scheme)
    if len(kinds) > 1:
        raise Unexpected("alternative URLs of the same kind", "different ones")
    return SecretStr(text)


def _check(text: str, scheme: str) -> None:
    expected = (
        f"a URL such as {scheme}://:PASSWORD@HOST:PORT/0" if scheme.startswith("redis") else ""
    )
    expected = expected or f"a URL such as {scheme}://USER:PASSWORD@HOST:PORT/VHOST"
    try:
        parts = urlsplit(text)
        port_is_right = parts.port != 0
    except ValueError:
        raise Unexpected(expected, f"a URL whose host or port cannot be read; {_ENCODED}") from None
    host = _host(parts)
    if not port_is_right or (parts.netloc and not _HOST.fullmatch(host)):
        raise Unexpected(expected, f"a URL whose host or port cannot be read; {_ENCODED}")
    if "@" in parts.path + parts.query or "#" in text:
        raise Unexpected(expected, f"a URL with an '@' or '#' behind the host; {_ENCODED}")
    if scheme.startswith("redis") and not _DATABASE.fullmatch(unquote(parts.path)):
        raise Unexpected(expected, "a URL whose database is no number")
    _check_options(parts.query, scheme)


def _host(parts: SplitResult) -> str:
    address = parts.netloc.rpartition("@")[2]
    return address if address.endswith("]") else re.sub(r":[0-9]*$", "", address)


def _check_options(query: str, scheme: str) -> None:
    known = _OPTIONS.get(scheme, {})
    expected = (
        f"of the options behind '?' in a URL of {scheme} only {', '.join(known)}"
        if known
        else "no '?' in the URL"
    )
    for name, value in parse_qsl(query, keep_blank_values=True) or ([("", "")] if query else []):
        if name not in known:
            raise Unexpected(expected, "another one" if known else "one")
        if not known[name](value):
            raise Unexpected(f"a valid value of the option {name} in the URL", "an invalid value")
