"""The names of secrets: of an option, a header, a JSON key, or a URL parameter. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Anywhere in a name without its separators: dbpassword, clientSecret, X-Amz-Credential, AccountKey.
_ANYWHERE = re.compile(
    r"passw(?:or)?d|passphrase|passcode|secret(?!ar)|credential|authori[sz]ation|signature|sess"
    r"(?:ion)?id|sessionkey|"
    r"(?:api|access|account|app|auth|client|consumer|encryption|license|master|private|security"
    r"|service|shared|"
    r"signing|ssh|subscription)key"
)
_ENDS = ("token", "cookie", "pwd")
_WORDS = frozenset(
    ("token", "tokens", "pwd", "pw", "cred", "creds", "jwt", "cookie", "cookies", "otp")
)
# Alone, or at the end of a name: basic_auth, X-Sig. At the front they mean something else:
# auth_mechanism.
_LAST = frozenset(("auth", "sig", "pass"))
# A name with such an end is about a secret and holds none: token_type, password_file.
_ABOUT = frozenset(
    ("file", "url", "uri", "path", "type", "length", "count", "expires", "expiry", "ttl", "policy")
)

# In the query of a URL a short name is enough: there it is a credential far more often than
# anything else.
_QUERY = frozenset(
    (
        "key",
        "code",
        "auth",
        "access",
        "session",
        "sid",
        "sig",
        "pass",
        "pin",
        "ticket",
        "assertion",
        "jwt",
    )
)
_QUERY_ENDS = ("key", "keyfile", "pass", "authcode", "accesscode")
_ORDINARY = frozenset(
    (
        "monkey",
        "donkey",
        "turkey",
        "hockey",
        "jockey",
        "whiskey",
        "bypass",
        "compass",
        "overpass",
        "surpass",
    )
)
#: The words before `key` or `code` with which neither is a secret.
_QUALIFIER = frozenset(
    (
        "area",
        "bar",
        "binding",
        "cache",
        "color",
        "country",
        "currency",
        "error",
        "exit",
        "foreign",
        "hot",
    )
)
_QUALIFIER |= {
    "lang",
    "language",
    "partition",
    "post",
    "postal",
    "primary",
    "public",
    "return",
    "routing",
    "sort",
    "status",
}
_QUALIFIER |= {"zip"}


@lru_cache(4096)  # bounded: the names come from foreign text
def is_secret(name: str) -> bool:
    """Return whether a value under this name is a secret, wherever the name occurs."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    joined = "".join(words)
    return bool(
        _ANYWHERE.search(joined)
        or joined.endswith(_ENDS)
        or words[-1] in _LAST
        or any(word in _WORDS for word in words)
    )


@lru_cache(4096)
def is_secret_in_query(name: str) -> bool:
    """Return whether a value under this name is a secret in a URL, behind its '?', '&' or '#'."""
    if is_secret(name):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT or _QUALIFIER.intersection(words):
        return False
    joined = "".join(words)
    return any(word in _QUERY for word in words) or (
        joined.endswith(_QUERY_ENDS) and joined not in _ORDINARY
    )
